"""The report: what it shows, and that it is self-contained and safe."""

from __future__ import annotations

import base64
import io
import logging
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crossrec.evaluation.report.cards import choose_users
from crossrec.evaluation.report.content import RecommenderResult, headline
from crossrec.types import ABSENT, TopK

Parse = Callable[[str], Any]


def test_page_is_well_formed_and_self_contained(html: str, parse: Parse) -> None:
    page = parse(html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert "script" not in {tag for tag, _ in page.tags}
    assert not re.search(r'(?:src|href)="(?!#)', re.sub(r'xmlns:xlink="[^"]*"', "", html))
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in re.findall(r"url\(([^#)][^)]*)\)", html))
    assert len(html) < 3_000_000


def test_header_says_what_the_data_are(html: str, parse: Parse) -> None:
    text = parse(html).text
    for said in (
        "name: <none>",
        "generated storefront, not real shoppers",
        "leave-one-out",
        "1,234,567",
        "no_time: 2",
    ):
        assert said in text


def test_every_shown_title_is_escaped(html: str, parse: Parse, inputs: dict[str, Any]) -> None:
    page = parse(html)
    assert inputs["catalog"].dataset["title"][0] in page.text
    assert "&lt;script&gt;" in html
    assert "id-1" in page.text  # an item without a title goes by its id
    assert "model <b>$x$</b>" in page.text
    assert "b" not in {tag for tag, _ in page.tags}


def test_shown_lists_are_the_recommended_items(html: str, parse: Parse, inputs: dict[str, Any]) -> None:
    catalog, model = inputs["catalog"], inputs["results"][0]
    names = [title or item for title, item in zip(catalog.dataset["title"], catalog.item_ids, strict=True)]
    shown = choose_users(model.lists, inputs["targets"], inputs["user_ids"], 8, 0)
    assert 0 < shown.n_hits < 8
    strips = re.findall(r'<ol class="strip ranked".*?</ol>', html, re.DOTALL)
    assert len(strips) == 16
    for query, strip in zip(shown.queries, strips[::2], strict=True):
        ids = model.lists.ids[query, :10]
        titles = [attrs["title"] for attrs in parse(strip).of_class("item")]
        assert titles == [names[i] for i in ids if i != ABSENT]


def test_hits_are_marked_with_frame_and_word(html: str, parse: Parse, inputs: dict[str, Any]) -> None:
    targets = inputs["targets"]
    shown = choose_users(inputs["results"][0].lists, targets, inputs["user_ids"], 8, 0).queries
    expected = sum(
        int(item) in set(targets.row(q).tolist())
        for one in inputs["results"]
        for q in shown
        for item in one.lists.ids[q, :10]
    )
    assert len(parse(html).of_class("hit")) == expected > 0
    assert html.count('<span class="flag">hit</span>') == expected
    ranks = re.findall(r"hit at rank ([\d, ]+)", html)
    assert sum(len(found.split(",")) for found in ranks) == expected


def test_history_is_the_last_clicks_newest_first(html: str, parse: Parse, inputs: dict[str, Any]) -> None:
    titles, ids = inputs["catalog"].dataset["title"], inputs["catalog"].item_ids
    shown = choose_users(inputs["results"][0].lists, inputs["targets"], inputs["user_ids"], 8, 0)
    histories = [inputs["histories"].row(q)[-8:][::-1] for q in shown.queries]
    assert max(len(history) for history in histories) == 8
    strips = re.findall(r'<ol class="strip history".*?</ol>', html, re.DOTALL)
    found = [[attrs["title"] for attrs in parse(strip).of_class("item")] for strip in strips]
    assert found == [[titles[i] or ids[i] for i in history] for history in histories if len(history)]


def test_each_picture_is_embedded_once_and_small(html: str, parse: Parse) -> None:
    rules = dict(re.findall(r"\.(p\w+) \{ background-image: url\(data:image/jpeg;base64,([^)]*)\)", html))
    page = parse(html)
    shown = page.of_class("picture")
    assert {str(attrs["class"]).split()[1] for attrs in shown} == {*rules, "placeholder"}
    assert len(set(rules.values())) == len(rules) == html.count("data:image") == 27, (
        "of 30, one has none, one is broken, two are the same"
    )
    for data in rules.values():
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) == 160


def test_second_writing_gives_the_same_bytes_and_warns_of_the_broken_picture(
    write: Callable[..., str], html: str, caplog: pytest.LogCaptureFixture, parse: Parse
) -> None:
    with caplog.at_level(logging.WARNING):
        assert write() == html
    page = parse(html)
    assert "item id-3" in caplog.text
    assert "1 of 30 pictures could not be read" in caplog.text
    assert "1 picture could not be read" in page.text
    labels = {attrs["aria-label"] for attrs in page.of_class("placeholder")}
    assert labels == {"No picture of Thing 3", "No picture of Thing 4"}


def test_tables_hold_the_numbers_and_mark_the_best(html: str, parse: Parse) -> None:
    page = parse(html)
    numbers = ("0.1234", "0.1134\u20130.1334", "0.0871", "0.2468", "0.0411", "7 queries; never clicked")
    assert [number for number in numbers if number not in page.text] == []
    best = re.findall(r'<td class="best"><span class="value">([\d.]+)<', html)
    assert "0.1234" in best
    assert "0.387" in best  # lower Gini is better
    assert "0.0871" not in best
    assert "42 % ahead of popularity, the strongest baseline. The 95 % intervals do not" in page.text


def test_the_headline_tests_paired_differences() -> None:
    users, rng = np.arange(200), np.random.default_rng(0)
    base_U = rng.random(200)

    def result(name: str, values_U: np.ndarray) -> RecommenderResult:
        frame = pl.DataFrame({"user": users, "ndcg@10": values_U})
        metrics = {"ndcg@10": {"value": float(values_U.mean()), "ci95": [0.0, 1.0]}}
        return RecommenderResult(name, metrics, {}, TopK(np.zeros((1, 1), int), np.zeros((1, 1))), frame)

    others = [result("weak", base_U - 0.2), result("strong", base_U[::-1])]
    ahead, _ = headline([result("new", base_U + 0.1 + 0.01 * rng.random(200)), result("strong", base_U)])
    assert "ahead of strong, the strongest baseline. Paired by user, the difference is +0.1" in ahead
    assert "p 0.0002 (randomization test)." in ahead
    level, _ = headline([result("new", base_U + 0.001 * rng.normal(size=200)), *others])
    assert "it may be due to chance." in level


def test_pictures_and_plots_have_alternative_texts(html: str, parse: Parse) -> None:
    page = parse(html)
    labels = [attrs.get("aria-label") for _, attrs in page.tags if attrs.get("role") == "img"]
    assert all(labels)
    assert any("Bar chart of ndcg@10" in label and "0.1234" in label for label in labels if label)
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 8
    assert sum("model &lt;b&gt;$x$&lt;/b&gt;" in drawing for drawing in drawings) == 6
