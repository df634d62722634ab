"""Rendering of pages from templates with a common shell, style sheet and parts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any


def render(package: str, template: str, content: Mapping[str, Any]) -> str:
    """Return a self-contained HTML page.

    Templates can use ``style``, the style sheet, and ``drawing``, which inserts a plot's SVG unescaped; all
    other content is escaped. They may extend ``shell.html`` and import from ``parts.html``.

    Args:
        package: package with the template.
        template: file name of the template.
        content: variables of the template; a missing one is an error.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    here = resources.files(__package__)

    def source(name: str) -> str:
        own = resources.files(package).joinpath(name)
        return (own if name == template else here.joinpath(name)).read_text(encoding="utf-8")

    environment = Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = here.joinpath("style.css").read_text(encoding="utf-8")
    # The style sheet is ours; the drawings come from matplotlib, which escapes text itself.
    environment.globals.update(style=Markup(style), drawing=Markup)
    return environment.get_template(template).render(**content)
