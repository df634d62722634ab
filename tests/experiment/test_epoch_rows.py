"""Sources of an epoch's rows: synthetic users are marked and follow their schedule, and leaks are caught."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.augment.base import Schedule
from crossrec.augment.generators.application import SyntheticUsers
from crossrec.augment.guard import DataLeakageError, LeakageChecker
from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.experiment.augmentation import CheckedRows, WithSyntheticUsers
from crossrec.training.epochs import EpochSequences, LogRows
from crossrec.types import Sequences

N_ITEMS = 8
SPLIT = (
    LeaveOneOutSplitter.Options()
    .build()
    .split(Sequences.from_lists([[0, 1, 2, 3], [2, 1, 0, 4, 5], [3, 0, 1, 6]]), N_ITEMS)
)
TRAIN = SPLIT.train
USERS = SyntheticUsers(Sequences.from_lists([[0, 2], [1, 2], [3, 0], [2, 0]]), np.array([0, 1, 0, 2]), 3)


def guard() -> LeakageChecker:
    return LeakageChecker(SPLIT, np.arange(N_ITEMS).astype(str), np.arange(3).astype(str))


class Fixed:
    """Gives the same rows every epoch."""

    def __init__(self, rows: EpochSequences) -> None:
        self.rows = rows

    def epoch(self, epoch: int) -> EpochSequences:
        return self.rows

    def size(self, epoch: int) -> float:
        return 1.0


def synthetic(schedule: Schedule) -> WithSyntheticUsers:
    return WithSyntheticUsers(LogRows(TRAIN), USERS, schedule=schedule, epochs=4, n_rows=len(TRAIN))


def test_synthetic_users_follow_the_log_and_are_marked() -> None:
    rows = CheckedRows(synthetic(Schedule()), guard(), TRAIN).epoch(0)
    assert [rows.sequences.row(i).tolist() for i in (0, 3, 6)] == [[0, 1], [0, 2], [2, 0]]
    assert rows.users_B.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert rows.augmented_B.tolist() == [False] * 3 + [True] * 4


def test_the_schedule_says_how_many_and_how_large_an_epoch_is() -> None:
    source = synthetic(Schedule(start=0.25, ramp=0.5))
    assert [len(source.epoch(epoch).sequences) - 3 for epoch in range(4)] == [0, 0, 2, 4]
    assert [source.size(epoch) for epoch in range(4)] == pytest.approx([1, 1, 1 + 2 / 3, 1 + 4 / 3])


def test_drawn_rows_pass_the_guard() -> None:
    rows = CheckedRows(LogRows(TRAIN, lambda epoch: np.array([2, 0, 0])), guard(), TRAIN).epoch(0)
    assert rows.users_B.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("row", "user", "marked", "told"),
    [
        ([2, 1, 0, 4], 1, False, "has 4 clicks, but 3 are for training"),
        ([2, 1, 5], 1, True, r"row 0, click 2 is item 5 \('5'\), which has no training click"),
        ([2, 1, 3], 1, False, r"holds item 3 \('3'\).* not marked as augmented"),
        ([0, 1], 9, False, "user 9, whom the training part doesn't have"),
    ],
)
def test_a_source_that_leaks_is_caught(row: list[int], user: int, marked: bool, told: str) -> None:
    rows = EpochSequences(Sequences.from_lists([row]), np.array([user]), np.array([marked]))
    with pytest.raises(DataLeakageError, match=f"the rows of epoch 2: .*{told}"):
        CheckedRows(Fixed(rows), guard(), TRAIN).epoch(2)
