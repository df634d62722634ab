"""Splits: training is a prefix, nothing leaks, seen items are no targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.config import validate
from crossrec.data.splits.base import Queries, Split, SplitError, first_clicks
from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.data.splits.temporal import TemporalSplitter
from crossrec.types import ConfigError, Sequences

N_ITEMS = 6
LOGS = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, N_ITEMS - 1)), max_size=9), min_size=1, max_size=6
)


def sequences(users: list[list[tuple[int, int]]]) -> Sequences:
    """Sequences of (time, item) rows, sorted stably by time."""
    rows = [sorted(row, key=lambda click: click[0]) for row in users]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    flat = [click for row in rows for click in row]
    items = np.asarray([item for _, item in flat], dtype=np.int32)
    return Sequences(offsets, items, np.asarray([time for time, _ in flat], dtype=np.int64))


def clicks_of(sequences: Sequences, user: int) -> list[tuple[int, int]]:
    assert sequences.times is not None
    span = slice(sequences.offsets[user], sequences.offsets[user + 1])
    return [(int(t), int(i)) for t, i in zip(sequences.times[span], sequences.items[span], strict=True)]


def as_dict(queries: Queries) -> list[tuple[int, int, list[int]]]:
    return [
        (int(u), int(e), queries.targets.row(q).tolist())
        for q, (u, e) in enumerate(zip(queries.users, queries.ends, strict=True))
    ]


def try_split(config: Any, log: Sequences) -> Split | None:
    """The split, or None where the drawn log is too small for one."""
    try:
        split: Split = config.build().split(log, N_ITEMS)
    except SplitError:
        return None
    return split


def check_common(split: Split) -> None:
    for queries in (split.valid, split.test):
        assert len(queries) == len(queries.targets) == len(split.histories(queries))
        for q, (user, end, targets) in enumerate(as_dict(queries)):
            history = [item for _, item in clicks_of(split.clicks, user)[:end]]
            assert split.histories(queries).row(q).tolist() == history
            assert targets
            assert not set(targets) & set(history)
            assert len(set(targets)) == len(targets)
            assert end >= split.train_ends[user]
            assert end > 0
    for user in range(len(split.clicks)):
        train = split.train.row(user).tolist()
        assert train == [item for _, item in clicks_of(split.clicks, user)][: len(train)]
    assert split.train_counts.sum() == split.train_ends.sum()
    assert set(np.flatnonzero(split.cold)) == set(range(N_ITEMS)) - set(split.train.items.tolist())


ROWS = st.lists(st.lists(st.integers(0, 4), max_size=9), max_size=12)


@given(ROWS, st.integers(1, 8))
@settings(max_examples=60)
def test_first_clicks_are_the_same_however_many_are_sorted_at_once(rows: list[list[int]], block: int) -> None:
    clicks = Sequences.from_lists(rows)
    expected = [int(clicks.offsets[user]) + row.index(item) for user, row in enumerate(rows) for item in row]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("crossrec.data.splits.base.BLOCK", block)
        assert first_clicks(clicks, 5).tolist() == expected


@given(LOGS, st.integers(1, 3))
@settings(max_examples=120, deadline=None)
def test_leave_one_out_against_a_slow_oracle(users: list[list[tuple[int, int]]], n_last: int) -> None:
    log = sequences(users)
    valid: list[tuple[int, int, list[int]]] = []
    test: list[tuple[int, int, list[int]]] = []
    ends = []
    for user in range(len(log)):
        items = [item for _, item in clicks_of(log, user)]
        n = len(items)
        ends.append(n if n < 2 * n_last + 1 else n - 2 * n_last)
        for place in range(ends[-1], n):
            part = valid if place < n - n_last else test
            if items[place] not in items[:place]:
                part.append((user, place, [items[place]]))
    split = try_split(LeaveOneOutSplitter.Options(n_last=n_last), log)
    if split is None:
        assert not valid or not test
        return
    check_common(split)
    assert as_dict(split.valid) == valid
    assert as_dict(split.test) == test
    assert split.train_ends.tolist() == ends
    short = sum(len(row) < 2 * n_last + 1 for row in users)
    assert split.excluded[f"users with fewer than {2 * n_last + 1} clicks"] == short


@given(LOGS, st.sampled_from(["all", "next"]), st.sampled_from([(0.5, 0.75), (0.8, 0.9), (0.1, 0.2)]))
@settings(max_examples=150, deadline=None)
def test_temporal_leaks_nothing(users: list[list[tuple[int, int]]], targets: Any, points: Any) -> None:
    log = sequences(users)
    if not len(log.items):
        return
    split = try_split(
        TemporalSplitter.Options(valid_from=points[0], test_from=points[1], targets=targets), log
    )
    if split is None:
        return
    check_common(split)
    times = np.sort(np.asarray(log.times))
    cuts = [int(times[int(point * len(times))]) for point in points]
    train_times = split.train.times
    assert train_times is not None
    assert train_times.max() < cuts[0]
    assert split.train_ends.sum() == (times < cuts[0]).sum()
    for queries, low, high in ((split.valid, cuts[0], cuts[1]), (split.test, cuts[1], times[-1] + 1)):
        for user, end, found in as_dict(queries):
            row = clicks_of(log, user)
            assert all(time < low for time, _ in row[:end])
            window = [item for time, item in row[end:] if low <= time < high]
            window = window[:1] if targets == "next" else window
            seen = {item for _, item in row[:end]}
            assert found == [item for item in dict.fromkeys(window) if item not in seen]


def test_temporal_by_hand() -> None:
    log = sequences([[(1, 0), (5, 1), (7, 0), (7, 2), (9, 3), (9, 3)], [(7, 4), (9, 5)], [(2, 3)], [(9, 1)]])
    config = TemporalSplitter.Options(valid_from=7, test_from=9, unit="time")
    split = config.build().split(log, N_ITEMS)
    assert split.train_ends.tolist() == [2, 0, 1, 0]
    assert as_dict(split.valid) == [(0, 2, [2])]
    assert as_dict(split.test) == [(0, 4, [3]), (1, 1, [5])]
    assert split.excluded["valid: targets already in the history"] == 1
    assert split.excluded["valid: users without a history"] == 1
    assert split.excluded["test: users without a history"] == 1
    assert split.excluded["test: targets clicked twice"] == 1
    assert split.cold.tolist() == [False, False, True, False, True, True]
    assert split.queries("valid") is split.valid
    assert split.queries("test") is split.test


def test_next_takes_only_the_first_click_of_the_window() -> None:
    log = sequences([[(1, 0), (7, 0), (7, 2), (9, 3), (10, 4)], [(1, 5), (8, 1), (9, 2)]])
    split = (
        TemporalSplitter.Options(valid_from=7, test_from=9, unit="time", targets="next")
        .build()
        .split(log, N_ITEMS)
    )
    assert as_dict(split.valid) == [(1, 1, [1])]
    assert as_dict(split.test) == [(0, 3, [3]), (1, 2, [2])]
    assert split.excluded["valid: queries without a new target"] == 1


def test_clicks_at_the_time_of_a_cut_belong_to_the_window() -> None:
    log = sequences([[(time, item) for item, time in enumerate([1, 5, 5, 5, 8, 9])]])
    split = TemporalSplitter.Options(valid_from=0.5, test_from=0.7).build().split(log, N_ITEMS)
    assert split.train_ends.tolist() == [1]
    assert as_dict(split.valid) == [(0, 1, [1, 2, 3])]
    assert as_dict(split.test) == [(0, 4, [4, 5])]


def test_one_click_users_train_and_ask_nothing() -> None:
    log = sequences([[(1, 0)], [(1, 0), (2, 1), (3, 2)]])
    split = LeaveOneOutSplitter.Options().build().split(log, N_ITEMS)
    assert split.train_ends.tolist() == [1, 1]
    assert as_dict(split.valid) == [(1, 1, [1])]
    assert as_dict(split.test) == [(1, 2, [2])]
    assert split.excluded["users with fewer than 3 clicks"] == 1


def test_configs_name_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"valid_from 0.9 must be before test_from 0.8"):
        validate(TemporalSplitter.Options, {"valid_from": 0.9, "test_from": 0.8}, "x")
    with pytest.raises(ConfigError, match="set unit to 'time'"):
        validate(TemporalSplitter.Options, {"valid_from": 10, "test_from": 20}, "x")
    with pytest.raises(ConfigError, match="n_last"):
        validate(LeaveOneOutSplitter.Options, {"n_last": 0}, "x")
    dates = validate(
        TemporalSplitter.Options, {"valid_from": "2020-01-02", "test_from": "2020-01-03", "unit": "time"}, "x"
    )
    assert (dates.valid_from, dates.test_from) == (1577923200.0, 1578009600.0)
    assert validate(TemporalSplitter.Options, dates.model_dump(), "again") == dates


def test_splits_that_can_not_be_made_are_errors() -> None:
    short = sequences([[(1, 0), (2, 1)]])
    with pytest.raises(SplitError, match=r"no validation query.*data.split.n_last"):
        LeaveOneOutSplitter.Options().build().split(short, N_ITEMS)
    same_time = sequences([[(1, item) for item in range(5)]])
    with pytest.raises(SplitError, match=r"no training click.*data.split.valid_from"):
        TemporalSplitter.Options().build().split(same_time, N_ITEMS)
    with pytest.raises(SplitError, match="needs times"):
        TemporalSplitter.Options().build().split(Sequences.from_lists([[1, 2, 3]]), N_ITEMS)
    unsorted = Sequences(np.asarray([0, 1, 3]), np.asarray([0, 1, 2]), np.asarray([9, 5, 4]))
    with pytest.raises(SplitError, match="row 1 are not sorted"):
        TemporalSplitter.Options().build().split(unsorted, N_ITEMS)
