"""A report's inputs, with titles, pictures and lists that are hard on it, and a reader of its page."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from crossrec.data.catalog import Catalog
from crossrec.evaluation.report import RecommenderResult, write_report
from crossrec.types import ABSENT, Sequences, TopK

N, Q, K = 30, 24, 12
EVIL = 'Lamp <script>alert("x")</script> & more'
BROKEN, WITHOUT, TWIN, TWIN_OF = 3, 4, 6, 5
VOID = {"meta", "br", "img", "link", "input", "hr"}


@dataclass
class Page(HTMLParser):
    """What a reader meets: texts by element class, tags, and whether every tag is closed."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def drawn(seed: int) -> bytes:
    picture = Image.new("RGB", (400, 300), (seed * 8 % 256, 90, 160))
    ImageDraw.Draw(picture).ellipse((seed * 5, 40, seed * 5 + 120, 200), fill=(250, seed * 7 % 256, 10))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def catalogue() -> Catalog:
    pictures: list[bytes | None] = [drawn(i) for i in range(N)]
    pictures[BROKEN], pictures[WITHOUT], pictures[TWIN] = drawn(3)[:200], None, pictures[TWIN_OF]
    prices: list[float | None] = [10.5 + i for i in range(N)]
    prices[1], prices[2] = None, float("nan")
    return Catalog.from_columns(
        {
            "item_id": [f"id-{i}" for i in range(N)],
            "title": [EVIL, None, *(f"Thing {i}" for i in range(2, N))],
            "image_bytes": pictures,
            "categories": [["Lamps", "A & B"] if i % 2 else None for i in range(N)],
            "price": prices,
        }
    )


def metric(value: float, width: float | None = 0.01) -> dict[str, Any]:
    return {"value": value, "ci95": None if width is None else [value - width, value + width]}


def result(name: str, ndcg: float, seed: int) -> RecommenderResult:
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.permutation(N)[:K] for _ in range(Q)])
    ids[0, 4:] = ABSENT
    metrics = {
        "ndcg@10": metric(ndcg),
        "recall@10": metric(2 * ndcg),
        "coverage@10": metric(0.9, None),
        "gini@10": metric(0.3 + ndcg, None),
        "ild@10": metric(0.5),
    }
    slices = {
        "cold_items": {
            "n_queries": 7,
            "metrics": {"ndcg@10": metric(ndcg / 3, 0.02)},
            "note": "never clicked",
        }
    }
    return RecommenderResult(name, metrics, slices, TopK(ids, np.zeros((Q, K), np.float32)))


def make_inputs() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    log = [{"kind": "step", "step": i, "loss": 5 / i} for i in range(1, 40)]
    log += [{"kind": "eval", "step": i, "ndcg@10": i / 100, "recall@10": i / 50} for i in (10, 20)]
    return {
        "title": "A & B",
        "data_note": "generated storefront, not real shoppers",
        "protocol": "leave-one-out",
        "counts": {"users": 1234567, "dropped": {"no_time": 2}},
        "results": [result("model <b>$x$</b>", 0.1234, 1), result("popularity", 0.0871, 2)],
        "catalog": catalogue(),
        "histories": Sequences.from_lists([rng.permutation(N)[: q % 12] for q in range(Q)]),
        "targets": Sequences.from_lists([rng.permutation(N)[:1] for _ in range(Q)]),
        "user_ids": [f"user-{q // 2}" for q in range(Q)],
        "train_counts": rng.integers(0, 20, N),
        "log": log,
        "config_text": "seed: 0\nname: <none>\n",
        "n_shown_users": 8,
    }


@pytest.fixture(scope="session")
def parse() -> Callable[[str], Page]:
    """Reads a whole page; every tag has to be closed."""

    def run(html: str) -> Page:
        page = Page()
        page.feed(html)
        page.close()
        assert page.open == []
        return page

    return run


@pytest.fixture
def inputs() -> dict[str, Any]:
    """A fresh set of what ``write_report`` takes."""
    return make_inputs()


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of those inputs."""
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    write_report(path, **make_inputs())
    return path.read_text(encoding="utf-8")


@pytest.fixture
def write(tmp_path: Path, inputs: dict[str, Any]) -> Callable[..., str]:
    """Writes the page with some inputs changed."""

    def run(**changes: Any) -> str:
        write_report(tmp_path / "report.html", **{**inputs, **changes})
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return run
