"""The report survives poor input: nothing to compare with, no pictures, no metrics, nobody to show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crossrec.data.catalog import Catalog
from crossrec.evaluation.report import RecommenderResult
from crossrec.types import TopK

Parse = Callable[[str], Any]


def test_where_all_are_level_none_is_marked(write: Callable[..., str], inputs: dict[str, Any]) -> None:
    level = [replace(inputs["results"][0], name=name) for name in ("one", "two")]
    page_html = write(results=level, n_shown_users=0)
    assert "0.1234" in page_html
    assert 'class="best"' not in page_html
    assert "one is level with two" in page_html


def test_no_baseline_and_losses_that_are_no_numbers(
    write: Callable[..., str], parse: Parse, inputs: dict[str, Any]
) -> None:
    losses = [5.0, None, float("nan"), 2.5]
    log = [{"kind": "step", "step": i, "loss": loss} for i, loss in enumerate(losses)]
    log += [{"kind": "eval", "step": i, "ndcg@10": value} for i, value in enumerate((0.2, None, 0.1))]
    page_html = write(results=[replace(inputs["results"][0], name="only")], log=log, n_shown_users=0)
    assert "the loss goes from 5 at step 0 to 2.5 at step 3" in page_html
    assert "ndcg@10 is highest, 0.2000, at step 0" in page_html
    page = parse(page_html)
    assert "0.1234" in page.text
    assert not [name for name in ("best", "mark", "rival", "verdict") if page.of_class(name)]


def test_poor_input_leaves_out_what_it_lacks(
    write: Callable[..., str], parse: Parse, inputs: dict[str, Any]
) -> None:
    nan = float("nan")
    metrics = {"ndcg@10": {"value": nan, "ci95": [nan, nan]}}
    bare = [RecommenderResult("only", metrics, {}, inputs["results"][0].lists)]
    plain = Catalog.from_columns({"item_id": inputs["catalog"].item_ids})
    page_html = write(results=bare, catalog=plain, log=[], counts={}, data_note="")
    page = parse(page_html)
    assert not page.of_class("price")
    assert not page.of_class("note")
    assert "Training loss" not in page.text
    assert page_html.count("<svg") == 2
    assert "nan" not in page.text


def test_metrics_without_ild_lose_only_their_column_and_plot(
    write: Callable[..., str], inputs: dict[str, Any]
) -> None:
    results = inputs["results"]
    for one in results:
        del one.metrics["ild@10"]
    page_html = write(results=results, n_shown_users=0)
    assert "ild@10" not in page_html
    assert page_html.count("<svg") == 7


@pytest.mark.parametrize("n_queries", [0, 5])
def test_nobody_to_show(
    write: Callable[..., str], n_queries: int, parse: Parse, inputs: dict[str, Any]
) -> None:
    rows = np.arange(n_queries)
    results = [
        RecommenderResult(r.name, r.metrics, r.slices, TopK(r.lists.ids[rows], r.lists.scores[rows]))
        for r in inputs["results"]
    ]
    page = parse(
        write(
            results=results,
            histories=inputs["histories"].take(rows),
            targets=inputs["targets"].take(rows),
            user_ids=inputs["user_ids"][:n_queries],
            n_shown_users=0,
        )
    )
    assert "Example recommendations" not in page.text
    assert "0.1234" in page.text
