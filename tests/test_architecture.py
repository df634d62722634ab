"""The shape of the code: no circles of imports, one name per class, families that resolve."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import crossrec
from crossrec.config import Component, Config, Family

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "crossrec").rglob("*.py")
}
TARGET = re.compile(r"(crossrec(?:\.\w+)+):\w+")
RESOLVER = "crossrec.config"


def trees() -> Iterator[tuple[str, ast.Module]]:
    for name, path in FILES.items():
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> list[str]:
    """Files that a node imports, or names as a family's or a command's target."""
    if isinstance(node, ast.ImportFrom) and node.module:
        return [
            f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in FILES else node.module
            for a in node.names
        ]
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        found = TARGET.fullmatch(node.value)
        return [] if found is None else [found[1]]
    return []


def test_no_circle_of_imports() -> None:
    """Imports in functions and under TYPE_CHECKING count, and so do the targets of families."""
    graph = {
        name: {
            found for node in ast.walk(tree) for found in imported(node) if found in FILES and found != name
        }
        for name, tree in trees()
        if name != RESOLVER
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


LATE = re.compile(r"crossrec|crossrec\.cli\..*|crossrec\.server\.run")
"""Where the project is imported in functions: the lazy front door, commands, which are parsed first, and the
server's start, which names the libraries that lack."""


def test_the_project_is_imported_at_the_top() -> None:
    """Only heavy libraries are imported in functions or for type checkers alone."""
    late = []
    for name, tree in trees():
        if LATE.fullmatch(name):
            continue
        top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom | ast.Import) and id(node) not in top:
                late += [
                    f"{name}:{node.lineno}" for found in imported(node) if found.split(".")[0] == "crossrec"
                ]
    assert not late


def test_public_class_names_are_unique() -> None:
    homes = defaultdict(list)
    for name, tree in trees():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def families() -> dict[str, Family]:
    found = {}
    for module in pkgutil.walk_packages(crossrec.__path__, "crossrec."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Family):
                found[value.kind] = value
    return found


def test_every_member_of_a_family_resolves_to_a_documented_component_with_options() -> None:
    for kind, family in families().items():
        for name in family:
            member = family[name]
            assert issubclass(member, Component | Config), f"{kind} {name}"
            assert member.__doc__, f"{kind} {name}"
            options = family.options(name)
            assert options.__doc__, f"{kind} {name}"
            if issubclass(member, Component):
                assert "Options" in member.__dict__, f"{kind} {name} shares its options with another member"
                assert getattr(options, "component", None) is member


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from crossrec.cli.commands import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train a recommender" in done.stdout
    assert not {"torch", "transformers", "pyarrow"} & set(done.stdout.split())
