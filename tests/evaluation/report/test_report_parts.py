"""The report's arithmetic: hits, the choice of users, exposure, label placement, the glossary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.data.catalog import Catalog
from crossrec.evaluation.metrics import METRICS
from crossrec.evaluation.report import RecommenderResult, write_report
from crossrec.evaluation.report.cards import choose_users, hits_of
from crossrec.evaluation.report.figures import LONGEST_NAME, short, spread, thin
from crossrec.evaluation.report.glossary import estimate, info, note_on_distances
from crossrec.evaluation.report.page import ReportError
from crossrec.evaluation.report.plots import decile_of, decile_shares, lorenz
from crossrec.types import Sequences, TopK


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results": []}, "at least one"),
        ({"user_ids": ["u", "v"]}, "user_ids: 2 rows, but there are 1"),
        ({"train_counts": np.zeros(3)}, "train_counts: 3 items"),
        (
            {"results": [RecommenderResult("far", {}, {}, TopK(np.full((1, 2), 9), np.zeros((1, 2))))]},
            "lists of 'far': an item beyond",
        ),
    ],
)
def test_input_that_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fitting = {
        **dict.fromkeys(("title", "data_note", "protocol", "config_text"), ""),
        "counts": {},
        "results": [RecommenderResult("fits", {}, {}, TopK(np.zeros((1, 2), int), np.zeros((1, 2))))],
        "catalog": Catalog.from_columns({"item_id": ["a", "b"]}),
        "histories": Sequences.from_lists([[0]]),
        "targets": Sequences.from_lists([[1]]),
        "user_ids": ["u"],
        "train_counts": np.zeros(2),
        "log": [],
    }
    with pytest.raises(ReportError, match=message):
        write_report(tmp_path / "report.html", **{**fitting, **changes})
    assert list(tmp_path.iterdir()) == []


def test_glossary_explains_every_metric_that_can_be_asked_for() -> None:
    for name in METRICS:
        assert info(f"{name}@10") is METRICS[name]
        assert info(f"{name}@10").meaning.endswith(".")


@pytest.mark.parametrize("entry", [None, {}, {"value": None}, {"value": float("nan")}, 7, {"value": "x"}])
def test_what_was_not_measured_is_no_estimate(entry: object) -> None:
    assert estimate({"ndcg@10": entry}, "ndcg@10") is None


@pytest.mark.parametrize("interval", [None, [None, None], [float("nan"), float("nan")]])
def test_an_estimate_without_interval_keeps_its_value(interval: object) -> None:
    found = estimate({"ndcg@10": {"value": np.float32(0.5), "ci95": interval}}, "ndcg@10")
    assert found is not None
    assert (found.value, found.interval) == (0.5, None)


def test_hits_against_a_plain_search() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(-1, 9, (40, 6))
    targets = Sequences.from_lists([rng.integers(0, 12, rng.integers(0, 4)) for _ in range(40)])
    expected = [[item >= 0 and item in targets.row(q) for item in ids[q]] for q in range(40)]
    np.testing.assert_array_equal(hits_of(ids, targets), expected)


@pytest.mark.parametrize(("n_hitting", "expected"), [(0, 0), (1, 1), (20, 3), (38, 4), (40, 6)])
def test_showcase_takes_halves_where_it_can(n_hitting: int, expected: int) -> None:
    ids = np.zeros((40, 3), np.int64)
    targets = Sequences.from_lists([[0] if q < n_hitting else [1] for q in range(40)])
    found = choose_users(TopK(ids, np.zeros(ids.shape)), targets, [str(q) for q in range(40)], 6, 0)
    assert (len(found.queries), found.n_hits) == (6, expected)
    assert (found.queries[:expected] < n_hitting).all()
    assert (found.queries[expected:] >= n_hitting).all()


def test_showcase_shows_a_user_once() -> None:
    ids = np.zeros((40, 3), np.int64)
    targets = Sequences.from_lists([[q % 2] for q in range(40)])
    found = choose_users(TopK(ids, np.zeros(ids.shape)), targets, [f"u{q // 10}" for q in range(40)], 6, 0)
    assert len(found.queries) == len({q // 10 for q in found.queries}) <= 4


@given(st.lists(st.integers(0, 50), min_size=1, max_size=400))
def test_lorenz_area_is_the_gini(values: list[int]) -> None:
    counts = np.asarray(values)
    x, y = lorenz(counts)
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) >= 0).all()
    assert (y <= x + 1e-9).all()
    if counts.sum():
        n, ranks = len(counts), np.arange(1, len(counts) + 1)
        gini = ((2 * ranks - n - 1) * np.sort(counts)).sum() / (n * counts.sum())
        area = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
        assert 1 - 2 * area == pytest.approx(gini, abs=0.01)


def test_deciles_hold_a_tenth_of_the_items_each() -> None:
    counts = np.arange(100)
    group = decile_of(counts)
    np.testing.assert_array_equal(np.bincount(group), np.full(10, 10))
    assert set(np.flatnonzero(group == 0)) == set(range(90, 100))
    assert decile_shares(counts, group)[0] == pytest.approx(np.arange(90, 100).sum() / counts.sum())
    assert decile_shares(np.zeros(100), group).sum() == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_spread_labels_keep_order_and_distance(values: list[float]) -> None:
    placed = spread(values, 0.1, 0.0, 1.0)
    order = np.argsort(values, kind="stable")
    assert (np.diff(placed[order]) >= 0.1 - 1e-9).all()
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9


def test_thin_keeps_the_mean_of_equal_parts() -> None:
    values = np.arange(1000.0)
    assert len(thin(values, 100)) == 100
    assert thin(values, 100).mean() == pytest.approx(values.mean())
    np.testing.assert_array_equal(thin(values[:5], 100), values[:5])


def test_a_distance_above_one_is_explained_once_and_only_then() -> None:
    assert note_on_distances({"ild@10": 1.0, "novelty@10": 9.0, "ild_category@10": 1.0}) == ""
    assert note_on_distances({"ild@10": float("nan")}) == ""
    told = note_on_distances([("ild@10", 1.02), ("ild@10", 1.3), ("ndcg@10", 0.1)])
    assert told.startswith("ild@10 above 1: a cosine distance goes up to 2")
    assert "centered" in told
    assert note_on_distances({"ild_behaviour@10": 1.01}).endswith("goes up to 2.")


def test_shortened_names_of_variants_differ() -> None:
    names = ["llm + LoRA (id+text+image, concat) + item-kNN", "llm + LoRA (id+text+image, concat)", "ALS"]
    found = [short(name) for name in names]
    assert found[0] != found[1]
    assert found[0].endswith("item-kNN")
    assert found[2] == "ALS"
    assert max(map(len, found)) <= LONGEST_NAME
