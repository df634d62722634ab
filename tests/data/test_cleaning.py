"""Cleaning: each step drops what it should and says so."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.config import validate
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning import CleaningConfig, clean
from crossrec.data.cleaning_report import CleaningReport, Step
from crossrec.data.interactions import ClickLog, InteractionDataError, Interactions
from crossrec.data.sources.base import RawData
from crossrec.types import ConfigError

Row = tuple[str | None, str | None, float | None]


def raw_data(rows: list[Row], n_items: int = 10, ratings: list[float | None] | None = None) -> RawData:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    if ratings is not None:
        frame = frame.with_columns(rating=pl.Series(ratings, dtype=pl.Float64))
    catalog = Catalog.from_columns({"item_id": [f"i{i}" for i in range(n_items)]})
    return RawData("test", "", catalog, Interactions(frame))


def as_lists(catalog: Catalog, clicks: ClickLog) -> dict[str, list[tuple[str, int]]]:
    times = clicks.sequences.times
    assert times is not None
    ids = catalog.item_ids[clicks.sequences.items]
    bounds = clicks.sequences.offsets
    return {
        str(user): [(str(ids[t]), int(times[t])) for t in range(bounds[u], bounds[u + 1])]
        for u, user in enumerate(clicks.user_ids)
    }


def step(account: CleaningReport, name: str) -> Step:
    return next(step for step in account.steps if step.name == name)


def test_missing_ids_and_times_are_dropped_and_counted() -> None:
    rows: list[Row] = [
        ("a", "i1", 1.0),
        (None, "i1", 2.0),
        ("", "i1", 2.0),
        ("a", None, 2.0),
        ("a", " ", 2.0),
        ("a", "i2", None),
        ("a", "i2", float("nan")),
        ("a", "i2", float("inf")),
        ("a", "i2", 1e300),
        ("a", "i3", 9.0),
    ]
    catalog, clicks, account = clean(raw_data(rows), CleaningConfig())
    assert as_lists(catalog, clicks) == {"a": [("i1", 1), ("i3", 9)]}
    assert step(account, "missing id").dropped == 4
    assert step(account, "missing id").detail == "user id 2, item id 2"
    assert step(account, "missing time").dropped == 4
    assert step(account, "missing time").detail == "none or unreadable 1, NaN 1, infinite 2"


def test_ranges_are_inclusive() -> None:
    rows: list[Row] = [("a", f"i{t}", float(t)) for t in range(8)]
    raw = raw_data(rows, ratings=[5, 5, 5, None, float("nan"), 4, 3, 5])
    config = CleaningConfig(min_time=1, max_time=6, min_rating=3.5, max_rating=5)
    catalog, clicks, account = clean(raw, config)
    assert as_lists(catalog, clicks) == {"a": [("i1", 1), ("i2", 2), ("i5", 5)]}
    assert step(account, "time out of range").dropped == 2
    assert step(account, "rating out of range").dropped == 3
    assert "without a rating 2" in step(account, "rating out of range").detail


def test_time_range_takes_iso_dates() -> None:
    config = validate(
        CleaningConfig, {"min_time": "2020-01-02", "max_time": "2020-01-03T00:00:00+01:00"}, "x"
    )
    assert (config.min_time, config.max_time) == (1577923200.0, 1578006000.0)
    with pytest.raises(ConfigError, match="min_time: 'soon' is neither a number nor an ISO date"):
        validate(CleaningConfig, {"min_time": "soon"}, "x")
    with pytest.raises(ConfigError, match="min_rating 4 is above max_rating 3"):
        validate(CleaningConfig, {"min_rating": 4, "max_rating": 3}, "x")


def test_rating_range_without_ratings_is_an_error() -> None:
    with pytest.raises(InteractionDataError, match=r"min_rating.*interaction_columns.rating"):
        clean(raw_data([("a", "i1", 1.0)]), CleaningConfig(min_rating=3))


def test_unknown_items_are_counted_with_an_example() -> None:
    rows: list[Row] = [("a", "i1", 1.0), ("a", "zz", 2.0), ("b", "zz", 3.0), ("b", "yy", 4.0)]
    catalog, clicks, account = clean(raw_data(rows), CleaningConfig())
    assert as_lists(catalog, clicks) == {"a": [("i1", 1)]}
    assert step(account, "unknown item").dropped == 3
    assert "2 ids such as 'yy'" in step(account, "unknown item").detail


@pytest.mark.parametrize(("repeats", "expected"), [("keep", [1, 2, 5]), ("drop", [1, 2])])
def test_duplicates_go_and_repeats_are_a_choice(repeats: Any, expected: list[int]) -> None:
    rows: list[Row] = [("a", "i1", 5.0), ("a", "i1", 1.0), ("a", "i2", 2.0), ("a", "i1", 1.0)]
    catalog, clicks, account = clean(raw_data(rows), CleaningConfig(repeats=repeats))
    assert [time for _, time in as_lists(catalog, clicks)["a"]] == expected
    assert step(account, "exact duplicate").dropped == 1
    assert step(account, "repeat click").dropped == (1 if repeats == "drop" else 0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_order_is_by_time_and_never_by_file(rows: list[tuple[int, int, int]], random: Random) -> None:
    def ordered(rows: list[tuple[int, int, int]]) -> dict[str, list[tuple[str, int]]]:
        raw = raw_data([(f"u{u}", f"i{i}", float(t)) for u, i, t in rows])
        catalog, clicks, account = clean(raw, CleaningConfig())
        assert step(account, "exact duplicate").remaining == len(set(rows))
        assert list(clicks.user_ids) == list(dict.fromkeys(f"u{u}" for u, _, _ in rows))
        ties = len(set(rows)) - len({(u, t) for u, _, t in rows})
        assert step(account, "tied time").detail.startswith(f"{ties} (")
        return as_lists(catalog, clicks)

    found = ordered(rows)
    for user, clicks in found.items():
        assert sorted(clicks) == sorted((f"i{i}", t) for u, i, t in set(rows) if f"u{u}" == user)
        assert [t for _, t in clicks] == sorted(t for _, t in clicks)
    assert ordered(random.sample(rows, len(rows))) == found


def test_ties_are_in_no_order_that_a_model_could_learn() -> None:
    """Users click the same three items at one time, sorted by item in the file: orders are about uniform."""
    rows: list[Row] = [(f"u{u}", f"i{i}", 7.0) for u in range(600) for i in range(3)]
    catalog, clicks, account = clean(raw_data(rows), CleaningConfig())
    assert step(account, "tied time").detail.startswith("1,200 (66.7%)")
    orders = Counter(tuple(item for item, _ in user) for user in as_lists(catalog, clicks).values())
    assert len(orders) == 6
    assert min(orders.values()) > 70  # 100 expected, standard deviation 9


def test_order_of_ties_is_the_same_in_every_version() -> None:
    rows: list[Row] = [("ann", f"i{i}", 7.0) for i in range(6)]
    catalog, clicks, _ = clean(raw_data(rows), CleaningConfig())
    assert [item for item, _ in as_lists(catalog, clicks)["ann"]] == ["i0", "i1", "i3", "i5", "i2", "i4"]


def slow_core(rows: list[tuple[int, int]], k_users: int, k_items: int) -> list[tuple[int, int]]:
    while True:
        users, items = Counter(u for u, _ in rows), Counter(i for _, i in rows)
        kept = [(u, i) for u, i in rows if users[u] >= k_users and items[i] >= k_items]
        if len(kept) == len(rows):
            return kept
        rows = kept


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40, unique=True),
    st.integers(1, 4),
    st.integers(1, 4),
)
@settings(max_examples=80, deadline=None)
def test_k_core_is_the_fixpoint(rows: list[tuple[int, int]], k_users: int, k_items: int) -> None:
    raw = raw_data([(f"u{u}", f"i{i}", float(t)) for t, (u, i) in enumerate(rows)])
    expected = slow_core(rows, k_users, k_items)
    config = CleaningConfig(k_users=k_users, k_items=k_items)
    if not expected:
        with pytest.raises(
            InteractionDataError, match=r"no click of 'test' is left.*'k-core' dropped the most"
        ):
            clean(raw, config)
        return
    catalog, clicks, account = clean(raw, config)
    found = {(u, i) for u, row in as_lists(catalog, clicks).items() for i, _ in row}
    assert found == {(f"u{u}", f"i{i}") for u, i in expected}
    assert step(account, "k-core").remaining == len(expected)


def test_catalog_keeps_all_or_only_clicked_items() -> None:
    rows: list[Row] = [("a", "i7", 1.0), ("a", "i2", 2.0), ("b", "i7", 3.0)]
    catalog, clicks, _ = clean(raw_data(rows), CleaningConfig())
    assert (len(catalog), list(clicks.sequences.items)) == (10, [7, 2, 7])
    catalog, clicks, account = clean(raw_data(rows), CleaningConfig(catalog="clicked"))
    assert list(catalog.item_ids) == ["i2", "i7"]
    assert list(clicks.sequences.items) == [1, 0, 1]
    assert step(account, "item without a click").dropped == 8
    assert np.asarray(catalog.column("title").is_null()).all()


def test_one_click_users_stay() -> None:
    catalog, clicks, _ = clean(raw_data([("a", "i1", 1.0), ("b", "i2", 2.0)]), CleaningConfig())
    assert as_lists(catalog, clicks) == {"a": [("i1", 1)], "b": [("i2", 2)]}


def test_missing_text_picture_and_bad_prices_are_counted_and_kept() -> None:
    columns = {
        "item_id": ["i0", "i1", "i2", "i3"],
        "text": ["red shoe", None, "  ", ""],
        "image_path": ["a.jpg", None, "c.jpg", "d.jpg"],
        "price": [1.5, float("nan"), -2.0, None],
        "colour": ["red", "blue", None, "green"],
    }
    log = raw_data([("a", "i0", 1.0)]).interactions
    catalog, _, account = clean(RawData("t", "", Catalog.from_columns(columns), log), CleaningConfig())
    assert catalog.column("price").to_pylist() == [1.5, None, None, None]
    assert catalog.column("colour").to_pylist() == ["red", "blue", None, "green"]
    assert len(catalog) == 4
    assert step(account, "invalid price").detail.startswith("2 not a number")
    assert step(account, "missing text").detail.startswith("3 without")
    assert step(account, "missing picture").detail.startswith("1 without")


def test_an_empty_log_is_an_error_with_the_account() -> None:
    with pytest.raises(InteractionDataError, match="the log of 'test' is empty"):
        clean(raw_data([]), CleaningConfig())
    rows: list[Row] = [(None, "i1", 1.0), ("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0)]
    with pytest.raises(InteractionDataError) as caught:
        clean(raw_data(rows), CleaningConfig())
    message = str(caught.value)
    assert "the step 'unknown item' dropped the most, 3 of 4 (not in the catalogue" in message
    assert "missing id" in message
    assert "k-core" in message


def test_account_adds_up_prints_and_is_json() -> None:
    rows: list[Row] = [("a", f"i{t % 3}", float(t)) for t in range(6)] + [(None, "i1", 1.0), ("b", "zz", 2.0)]
    _, clicks, account = clean(raw_data(rows), CleaningConfig(repeats="drop", k_users=2))
    steps = [s for s in account.steps if s.unit == "clicks"]
    assert steps[0].before == len(rows)
    assert all(a.remaining == b.before for a, b in pairwise(steps))
    assert steps[-1].remaining == len(clicks.sequences.items)
    saved = json.loads(json.dumps(account.to_dict()))["steps"]
    assert [entry["remaining"] for entry in saved] == [s.remaining for s in account.steps]
    lines = account.lines()
    assert len(lines) == len(account.steps) + 1
    assert lines[0].split() == ["step", "unit", "before", "dropped", "remaining", "detail"]


def test_cleaning_again_changes_nothing() -> None:
    rows: list[Row] = [("b", "i1", 5.0), ("a", "i1", 1.0), ("b", "i2", 5.0), ("a", "i1", 1.0)]
    first, second = (clean(raw_data(rows), CleaningConfig()) for _ in range(2))
    assert as_lists(first[0], first[1]) == as_lists(second[0], second[1])
    assert first[2] == second[2]
