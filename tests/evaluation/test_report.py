"""The report: what it shows, that it is self-contained and safe, and that it survives poor input."""

from __future__ import annotations

import base64
import io
import logging
import re
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
from crossrec.evaluation.report.users import choose_users
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


def inputs() -> dict[str, Any]:
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


def parse(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "deep" / "report.html"
    write_report(path, **inputs())
    return path.read_text(encoding="utf-8")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def run(**changes: Any) -> str:
        write_report(tmp_path / "report.html", **{**inputs(), **changes})
        return (tmp_path / "report.html").read_text(encoding="utf-8")

    return run


def test_page_is_well_formed_and_self_contained(html: str) -> None:
    page = parse(html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not re.search(r'(?:src|href)="(?!#)', re.sub(r'xmlns:xlink="[^"]*"', "", html))
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in re.findall(r"url\(([^#)][^)]*)\)", html))
    assert len(html) < 3_000_000


def test_header_says_what_the_data_are(html: str) -> None:
    text = parse(html).text
    for said in (
        "name: <none>",
        "generated storefront, not real shoppers",
        "leave-one-out",
        "1,234,567",
        "no_time: 2",
    ):
        assert said in text


def test_every_shown_title_is_escaped(html: str) -> None:
    page = parse(html)
    assert EVIL in page.text
    assert "&lt;script&gt;" in html
    assert "id-1" in page.text  # an item without a title goes by its id
    assert "model <b>$x$</b>" in page.text
    assert "b" not in {tag for tag, _ in page.tags}


def test_shown_lists_are_the_recommended_items(html: str) -> None:
    given_in = inputs()
    catalog, model = given_in["catalog"], given_in["results"][0]
    names = [title or item for title, item in zip(catalog.dataset["title"], catalog.item_ids, strict=True)]
    shown = choose_users(model.lists, given_in["targets"], given_in["user_ids"], 8, 0)
    assert 0 < shown.n_hits < 8
    strips = re.findall(r'<ol class="strip ranked".*?</ol>', html, re.DOTALL)
    assert len(strips) == 16
    for query, strip in zip(shown.queries, strips[::2], strict=True):
        ids = model.lists.ids[query, :10]
        titles = [attrs["title"] for attrs in parse(strip).of_class("item")]
        assert titles == [names[i] for i in ids if i != ABSENT]


def test_hits_are_marked_with_frame_and_word(html: str) -> None:
    given_in = inputs()
    targets = given_in["targets"]
    shown = choose_users(given_in["results"][0].lists, targets, given_in["user_ids"], 8, 0).queries
    expected = sum(
        int(item) in set(targets.row(q).tolist())
        for one in given_in["results"]
        for q in shown
        for item in one.lists.ids[q, :10]
    )
    assert len(parse(html).of_class("hit")) == expected > 0
    assert html.count('<span class="flag">hit</span>') == expected
    ranks = re.findall(r"hit at rank ([\d, ]+)", html)
    assert sum(len(found.split(",")) for found in ranks) == expected


def test_history_is_the_last_clicks_newest_first(html: str) -> None:
    given_in = inputs()
    titles, ids = given_in["catalog"].dataset["title"], given_in["catalog"].item_ids
    shown = choose_users(given_in["results"][0].lists, given_in["targets"], given_in["user_ids"], 8, 0)
    histories = [given_in["histories"].row(q)[-8:][::-1] for q in shown.queries]
    assert max(len(history) for history in histories) == 8
    strips = re.findall(r'<ol class="strip history".*?</ol>', html, re.DOTALL)
    found = [[attrs["title"] for attrs in parse(strip).of_class("item")] for strip in strips]
    assert found == [[titles[i] or ids[i] for i in history] for history in histories if len(history)]


def test_each_picture_is_embedded_once_and_small(html: str) -> None:
    rules = dict(re.findall(r"\.(p\w+) \{ background-image: url\(data:image/jpeg;base64,([^)]*)\)", html))
    page = parse(html)
    shown = page.of_class("picture")
    assert {str(attrs["class"]).split()[1] for attrs in shown} == {*rules, "placeholder"}
    assert len(set(rules.values())) == len(rules) == html.count("data:image") == N - 3
    for data in rules.values():
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) == 160


def test_second_writing_gives_the_same_bytes_and_warns_of_the_broken_picture(
    write: Callable[..., str], html: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert write() == html
    page = parse(html)
    assert "item id-3" in caplog.text
    assert "1 of 30 pictures could not be read" in caplog.text
    assert "1 picture could not be read" in page.text
    labels = {attrs["aria-label"] for attrs in page.of_class("placeholder")}
    assert labels == {"No picture of Thing 3", "No picture of Thing 4"}


def test_tables_hold_the_numbers_and_mark_the_best(html: str) -> None:
    page = parse(html)
    numbers = ("0.1234", "0.1134\u20130.1334", "0.0871", "0.2468", "0.0411", "7 queries; never clicked")
    assert [number for number in numbers if number not in page.text] == []
    best = re.findall(r'<td class="best"><span class="value">([\d.]+)<', html)
    assert "0.1234" in best
    assert "0.387" in best  # lower Gini is better
    assert "0.0871" not in best
    assert "42 % ahead of popularity, the strongest baseline. The 95 % intervals do not" in page.text


def test_where_all_are_level_none_is_marked(write: Callable[..., str]) -> None:
    page_html = write(results=[result("one", 0.1234, 1), result("two", 0.1234, 2)], n_shown_users=0)
    assert "0.1234" in page_html
    assert 'class="best"' not in page_html
    assert "one is level with two" in page_html


def test_no_baseline_and_losses_that_are_no_numbers(write: Callable[..., str]) -> None:
    losses = [5.0, None, float("nan"), 2.5]
    log = [{"kind": "step", "step": i, "loss": loss} for i, loss in enumerate(losses)]
    log += [{"kind": "eval", "step": i, "ndcg@10": value} for i, value in enumerate((0.2, None, 0.1))]
    page_html = write(results=[result("only", 0.1234, 1)], log=log, n_shown_users=0)
    assert "the loss goes from 5 at step 0 to 2.5 at step 3" in page_html
    assert "ndcg@10 is highest, 0.2000, at step 0" in page_html
    page = parse(page_html)
    assert "0.1234" in page.text
    assert not [name for name in ("best", "mark", "rival", "verdict") if page.of_class(name)]


def test_pictures_and_plots_have_alternative_texts(html: str) -> None:
    page = parse(html)
    labels = [attrs.get("aria-label") for _, attrs in page.tags if attrs.get("role") == "img"]
    assert all(labels)
    assert any("Bar chart of ndcg@10" in label and "0.1234" in label for label in labels if label)
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 8
    assert sum("model &lt;b&gt;$x$&lt;/b&gt;" in drawing for drawing in drawings) == 6


def test_poor_input_leaves_out_what_it_lacks(write: Callable[..., str]) -> None:
    bare = [RecommenderResult("only", {"ndcg@10": metric(float("nan"))}, {}, result("", 0.1, 1).lists)]
    plain = Catalog.from_columns({"item_id": [f"id-{i}" for i in range(N)]})
    page_html = write(results=bare, catalog=plain, log=[], counts={}, data_note="")
    page = parse(page_html)
    assert not page.of_class("price")
    assert not page.of_class("note")
    assert "Training loss" not in page.text
    assert page_html.count("<svg") == 2
    assert "nan" not in page.text


def test_metrics_without_ild_lose_only_their_column_and_plot(write: Callable[..., str]) -> None:
    results = inputs()["results"]
    for one in results:
        del one.metrics["ild@10"]
    page_html = write(results=results, n_shown_users=0)
    assert "ild@10" not in page_html
    assert page_html.count("<svg") == 7


@pytest.mark.parametrize("n_queries", [0, 5])
def test_nobody_to_show(write: Callable[..., str], n_queries: int) -> None:
    rows = np.arange(n_queries)
    whole = inputs()
    results = [
        RecommenderResult(r.name, r.metrics, r.slices, TopK(r.lists.ids[rows], r.lists.scores[rows]))
        for r in whole["results"]
    ]
    page = parse(
        write(
            results=results,
            histories=whole["histories"].take(rows),
            targets=whole["targets"].take(rows),
            user_ids=whole["user_ids"][:n_queries],
            n_shown_users=0,
        )
    )
    assert "What users are shown" not in page.text
    assert "0.1234" in page.text
