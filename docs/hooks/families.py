"""Writes the modules of a family's members into the pages of the API when the site is built."""

from __future__ import annotations

import importlib
import re
from typing import Any

FAMILY = re.compile(r"^<!-- members of (?P<module>[\w.]+):(?P<name>\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with each member's module in place of ``<!-- members of package:FAMILY -->``."""
    return FAMILY.sub(_modules, markdown)


def _modules(found: re.Match[str]) -> str:
    table = getattr(importlib.import_module(found["module"]), found["name"])
    modules = dict.fromkeys(target.partition(":")[0] for target in table.members.values())
    return "\n\n".join(f"::: {module}" for module in modules)
