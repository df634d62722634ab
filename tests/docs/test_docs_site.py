"""The documentation as a whole: every page has its place, every metric its row, the site builds offline."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import crossrec
from crossrec.config import Family
from crossrec.evaluation.metrics import METRICS

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGE_OF = {
    "BASELINES": "baselines.md",
    "CONTRASTIVE_TERMS": "sequence_augmentation.md",
    "DIMENSIONS": "ablations.md",
    "DIVERSITY_SETS": "diversity_losses.md",
    "DIVERSITY_TERMS": "diversity_losses.md",
    "EXPLORERS": "simulation.md",
    "FUSIONS": "components.md",
    "GENERATORS": "synthesis.md",
    "IMAGE_AUGMENTERS": "image_augmentation.md",
    "LEARNERS": "simulation.md",
    "LIST_FUSIONS": "ensembles.md",
    "LOSSES": "losses.md",
    "MODALITIES": "components.md",
    "RERANKERS": "rerankers.md",
    "SAMPLERS": "ablations.md",
    "SAMPLE_WEIGHTINGS": "losses.md",
    "SEQUENCE_AUGMENTERS": "sequence_augmentation.md",
    "SEQUENCE_MODELS": "sequence_models.md",
    "SOURCES": "your_data.md",
    "SPLITS": "your_data.md",
    "TASTES": "simulation.md",
    "TERM_WEIGHTINGS": "diversity_losses.md",
    "TEXT_AUGMENTERS": "text_augmentation.md",
    "UNLEARNED_WEIGHTINGS": "diversity_losses.md",
    "VECTOR_GENERATORS": "synthesis.md",
}
"""The page that describes a family's members."""

OVERVIEW = {
    "SOURCES": "source",
    "MODALITIES": "modality",
    "FUSIONS": "fusion",
    "SEQUENCE_MODELS": "sequence model",
    "LOSSES": "loss",
    "DIVERSITY_TERMS": "diversity terms",
    "CONTRASTIVE_TERMS": "contrastive terms",
    "RERANKERS": "reranking",
    "BASELINES": "baselines",
    "EXPLORERS": "exploration",
}
"""The row of a family in the table of ``components.md``."""


class _SiteLoader(yaml.SafeLoader):
    """Plain YAML; tags that name Python functions are read as their names."""


_SiteLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: suffix)
NAV = yaml.load((REPOSITORY / "mkdocs.yml").read_text(), _SiteLoader)["nav"]


def _pages(entries: Any) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    if isinstance(entries, dict):
        return [page for value in entries.values() for page in _pages(value)]
    return [page for entry in entries for page in _pages(entry)]


def test_every_page_has_one_place_in_the_navigation() -> None:
    pages = _pages(NAV)
    assert len(pages) == len(set(pages))
    assert {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} <= set(pages)


def test_links_between_pages_lead_somewhere() -> None:
    for path in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([\w/.-]+\.(?:md|jpg|png))(?:#[\w-]+)?\)", path.read_text()):
            found = (path.parent / target).resolve()
            planned = found.is_relative_to(DOCS) and str(found.relative_to(DOCS)) in _pages(NAV)
            assert found.exists() or planned, f"{path.name} links to {target}"


def _families() -> dict[str, Family]:
    """Every family of the package by the name of its table; tables stand in packages or beside options."""
    found: dict[str, Family] = {}
    for module in pkgutil.walk_packages(crossrec.__path__, "crossrec."):
        if module.ispkg or module.name.endswith(".config"):
            content = vars(importlib.import_module(module.name))
            found |= {name: value for name, value in content.items() if isinstance(value, Family)}
    return found


FAMILIES = _families()


def test_every_family_has_a_page() -> None:
    source = "".join(path.read_text() for path in (REPOSITORY / "crossrec").rglob("*.py"))
    assert {*FAMILIES} == {*re.findall(r"^(\w+) = Family\(", source, re.MULTILINE)}
    missing = {*FAMILIES} - {*PAGE_OF}
    assert not missing, f"name the page that describes {missing} in PAGE_OF"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_is_described(family: str) -> None:
    page = (DOCS / PAGE_OF[family]).read_text()
    missing = [name for name in FAMILIES[family] if not re.search(rf"`{name}`|type: {name}\b", page)]
    assert not missing, f"docs/{PAGE_OF[family]} doesn't describe {missing}"


@pytest.mark.parametrize("family", OVERVIEW)
def test_the_overview_lists_the_members_of_the_family(family: str) -> None:
    rows = re.findall(rf"^\| {OVERVIEW[family]} \|.*?\|(.*)\|$", (DOCS / "components.md").read_text(), re.M)
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [[*FAMILIES[family]]]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_members_written_by_the_hook_are_of_families(page: Path) -> None:
    for module, name in re.findall(r"<!-- members of (\S+):(\S+) -->", page.read_text()):
        assert isinstance(getattr(importlib.import_module(module), name), Family)


def test_every_metric_is_described() -> None:
    metrics = (DOCS / "metrics.md").read_text()
    for name in METRICS:
        assert f"`{name}`" in metrics


def test_nothing_is_fetched_from_outside() -> None:
    site = yaml.load((REPOSITORY / "mkdocs.yml").read_text(), _SiteLoader)
    assert site["theme"]["font"] is False
    assert "extra_javascript" not in site
    assert "extra_css" not in site


@pytest.mark.slow
def test_the_site_builds_strictly_and_draws_its_formulas(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    page = (tmp_path / "site" / "metrics.html").read_text()
    assert "<math" in page
    members = (tmp_path / "site" / "api" / "rerank.html").read_text()
    for name in FAMILIES["RERANKERS"]:
        assert f'id="{FAMILIES["RERANKERS"].members[name].replace(":", ".")}"' in members
    pages = [path.read_text() for path in (tmp_path / "site").rglob("*.html")]
    assert not any('class="arithmatex"' in page for page in pages)
    outside = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+\.(?:js|css|woff2?|png|jpg)')
    assert not any(outside.search(page) for page in pages)
