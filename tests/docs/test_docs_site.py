"""The documentation as a whole: every page has its place, every metric its row, the site builds offline."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from crossrec.data.sources import SOURCES
from crossrec.evaluation.config import MetricName
from crossrec.model.fusion import FUSIONS

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"


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


def test_every_metric_source_and_fusion_is_described() -> None:
    metrics = (DOCS / "metrics.md").read_text()
    for name in get_args(MetricName):
        assert f"`{name}`" in metrics
    for name in SOURCES:
        assert f"`{name}`" in (DOCS / "your_data.md").read_text()
    for name in FUSIONS:
        assert f"`{name}`" in (DOCS / "components.md").read_text()


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
    pages = [path.read_text() for path in (tmp_path / "site").rglob("*.html")]
    assert not any('class="arithmatex"' in page for page in pages)
    outside = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+\.(?:js|css|woff2?|png|jpg)')
    assert not any(outside.search(page) for page in pages)
