"""The guard: whatever leaks from validation or test is caught, with row and item named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.augment.guard import DataLeakageError, LeakageChecker
from crossrec.data.splits.base import Queries, Split
from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.types import Sequences

N_ITEMS = 12
ITEM_IDS = np.array([f"i{n}" for n in range(N_ITEMS)], dtype=object)


def log() -> Sequences:
    rows = [[0, 1, 2, 3], [2, 1, 0, 4, 5], [3], [], [1, 2, 3, 9, 10]]
    plain = Sequences.from_lists(rows)
    return Sequences(plain.offsets, plain.items, np.arange(len(plain.items)) * 100)


@pytest.fixture
def split() -> Split:
    return LeaveOneOutSplitter.Options().build().split(log(), N_ITEMS)


@pytest.fixture
def guard(split: Split) -> LeakageChecker:
    return LeakageChecker(split, ITEM_IDS, np.array([f"u{n}" for n in range(5)], dtype=object))


def test_the_training_part_passes(split: Split, guard: LeakageChecker) -> None:
    guard.check_split()
    guard.check_sequences(split.train, "the network")
    guard.check_counts(split.train_counts, "popularity")
    guard.check_items(np.flatnonzero(split.train_counts), "a generator")
    guard.check_augmented(split.train.take(np.array([4, 0, 0])), "resampling")


def test_one_click_too_many_is_caught_with_user_and_item(split: Split, guard: LeakageChecker) -> None:
    ends = split.train_ends.copy()
    ends[4] += 1  # the validation target
    leaking = split.clicks.take(np.arange(5), ends)
    with pytest.raises(
        DataLeakageError, match=r"sequence augmentation: row 4 \(user 'u4'\).*item 9 \('i9'\)"
    ):
        guard.check_sequences(leaking, "sequence augmentation")


def test_another_item_in_the_same_place_is_caught(split: Split, guard: LeakageChecker) -> None:
    items = split.train.items.copy()
    at = int(split.train.offsets[1]) + 1
    items[at] = 5  # what the user's test query asks for
    with pytest.raises(DataLeakageError, match=r"row 1 \(user 'u1'\), click 1 is item 5 \('i5'\)"):
        guard.check_sequences(Sequences(split.train.offsets, items, split.train.times), "substitution")


def test_times_of_other_clicks_are_caught(split: Split, guard: LeakageChecker) -> None:
    assert split.train.times is not None
    later = Sequences(split.train.offsets, split.train.items, split.train.times + 1)
    with pytest.raises(DataLeakageError, match=r"row 0 .*time 1"):
        guard.check_sequences(later, "the network")


def test_counts_of_the_whole_log_are_caught(split: Split, guard: LeakageChecker) -> None:
    everything = np.bincount(split.clicks.items, minlength=N_ITEMS)
    with pytest.raises(DataLeakageError, match=r"resampling: item 2 .*is counted 3 times, but has 2"):
        guard.check_counts(everything, "resampling")
    with pytest.raises(DataLeakageError, match="counts of 3 items"):
        guard.check_counts(everything[:3], "resampling")


@pytest.mark.parametrize(("items", "told"), [([0, 9], "'i9'"), ([0, N_ITEMS], "not in the catalogue")])
def test_items_without_a_training_click_do_not_enter_synthesis(
    guard: LeakageChecker, items: list[int], told: str
) -> None:
    with pytest.raises(DataLeakageError, match=f"row 1, .*{told}"):
        guard.check_items(np.array(items), "the WGAN of text features")


def test_an_augmented_row_with_a_foreign_item_is_caught(guard: LeakageChecker) -> None:
    rows = Sequences.from_lists([[0, 1], [], [2, 10]])
    with pytest.raises(DataLeakageError, match=r"insertion: row 2, click 1 is item 10 \('i10'\)"):
        guard.check_augmented(rows, "insertion")


def test_a_cut_after_a_target_is_caught(split: Split, guard: LeakageChecker) -> None:
    late = replace(split, train_ends=split.train_ends + (np.arange(5) == 1))
    with pytest.raises(DataLeakageError, match=r"user .u1.*validation query"):
        LeakageChecker(late, ITEM_IDS, guard.user_ids).check_split()


@given(st.data())
def test_any_single_changed_click_is_caught(data: st.DataObject) -> None:
    split = LeaveOneOutSplitter.Options().build().split(log(), N_ITEMS)
    items = split.train.items.copy()
    at = data.draw(st.integers(0, len(items) - 1))
    items[at] = data.draw(st.integers(0, N_ITEMS - 1).filter(lambda item: item != items[at]))
    guard = LeakageChecker(split, ITEM_IDS, ITEM_IDS)
    with pytest.raises(DataLeakageError, match=f"'i{items[at]}'"):
        guard.check_sequences(Sequences(split.train.offsets, items), "x")


def test_a_split_without_queries_passes() -> None:
    nothing = Queries(np.zeros(0, np.int64), np.zeros(0, np.int64), Sequences.from_lists([]))
    clicks = log()
    split = Split(clicks, clicks.lengths, nothing, nothing, N_ITEMS, "all of it", {})
    LeakageChecker(split, ITEM_IDS, ITEM_IDS).check_split()
