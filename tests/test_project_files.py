"""Files around the package agree with each other: versions, extras, make targets, links, license."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import crossrec
from crossrec.cli.commands import main

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == citation["version"] == crossrec.__version__
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"crossrec {crossrec.__version__}\n"


def test_the_license_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["license"] == citation["license"] == "Apache-2.0"
    text = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n" in text
    assert "Copyright [yyyy] [name of copyright owner]" in text


def test_all_is_every_extra_of_users() -> None:
    extras = PROJECT["optional-dependencies"]
    names = ",".join(sorted(set(extras) - {"all", "dev"}))
    assert extras["all"] == [f"crossrec[{names}]"]


def test_make_help_explains_every_target() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    assert set(targets[1].split()) == set(re.findall(r"^([a-z-]+):.*## \w", makefile, re.MULTILINE))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", (REPOSITORY / name).read_text(encoding="utf-8")):
        assert (REPOSITORY / target).exists(), f"{name} links to {target}"


def test_paths_of_the_contributors_guide_exist() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [\w ]+ \| (`crossrec/.*) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert rows
    for row in rows:
        folders, pages, tests = (re.findall(r"`([^`]+)`", cell) for cell in row)
        base = "crossrec/augment/" if len(folders) > 1 else ""
        for folder in folders:
            path = folder if folder.startswith("crossrec/") else base + folder
            assert (REPOSITORY / path / "__init__.py").exists(), path
        for path in (*(f"docs/{page}" for page in pages), *tests):
            assert (REPOSITORY / path).exists(), path
