"""Ranking queries in one process: seen items, ties, batches, refusals."""

from typing import Self

import numpy as np
import pytest
import torch

from crossrec.data.splits.base import Queries, Split
from crossrec.evaluation.evaluate import rank_queries
from crossrec.runtime.ranking import recommend_by_score
from crossrec.types import ABSENT, Sequences, TopK

N_ITEMS = 6


class Fixed:
    """Gives every history the same scores."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = torch.tensor(scores, dtype=torch.float32)

    @property
    def n_items(self) -> int:
        return len(self.scores)

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        return self.scores.repeat(len(histories), 1)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        return recommend_by_score(self, histories, k, exclude)


class TooShort(Fixed):
    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        return super().recommend(histories, k - 1, exclude)


def split() -> Split:
    clicks = Sequences.from_lists([[5, 4, 3], [0, 1, 2, 3, 4], [2]])
    queries = Queries(
        np.array([0, 1, 1, 2]), np.array([2, 3, 4, 0]), Sequences.from_lists([[3], [3], [4], [2]])
    )
    return Split(clicks, np.array([1, 2, 0]), queries, queries, N_ITEMS, "by hand", {})


def test_seen_items_are_left_out_and_lists_run_out() -> None:
    lists = rank_queries(Fixed([0, 1, 2, 3, 4, 5]), split(), split().test, 4)
    assert lists.ids.tolist() == [
        [3, 2, 1, 0],
        [5, 4, 3, ABSENT],
        [5, 4, ABSENT, ABSENT],
        [5, 4, 3, 2],
    ]


def test_seen_items_may_be_kept() -> None:
    lists = rank_queries(Fixed([0, 1, 2, 3, 4, 5]), split(), split().test, 2, exclude_seen=False)
    assert lists.ids.tolist() == [[5, 4]] * 4


def test_ties_break_by_item_index() -> None:
    lists = rank_queries(Fixed([1, 1, 2, 1, 1, 1]), split(), split().test, 4, exclude_seen=False)
    assert lists.ids.tolist() == [[2, 0, 1, 3]] * 4


def test_batches_do_not_show() -> None:
    whole, single = (
        rank_queries(Fixed([3, 1, 4, 1, 5, 9]), split(), split().test, 3, batch=b) for b in (9, 1)
    )
    np.testing.assert_array_equal(whole.ids, single.ids)
    np.testing.assert_array_equal(whole.scores, single.scores)


class Recording(Fixed):
    """Remembers the clicks of each block of histories."""

    def __init__(self) -> None:
        super().__init__([0] * N_ITEMS)
        self.blocks: list[list[int]] = []

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        self.blocks.append(histories.lengths.tolist())
        return super().recommend(histories, k, exclude)


@pytest.mark.parametrize(
    ("clicks", "blocks"),
    [
        (100, [[2, 3, 4, 0]]),
        (5, [[2, 3], [4, 0]]),
        # A history that is too long on its own is still ranked.
        (3, [[2], [3], [4], [0]]),
    ],
)
def test_blocks_are_bounded_in_clicks(
    monkeypatch: pytest.MonkeyPatch, clicks: int, blocks: list[list[int]]
) -> None:
    monkeypatch.setattr("crossrec.evaluation.evaluate.CLICKS", clicks)
    recommender = Recording()
    rank_queries(recommender, split(), split().test, 2)
    assert recommender.blocks == blocks


def test_no_queries_give_no_lists() -> None:
    nobody = Queries(np.zeros(0, int), np.zeros(0, int), Sequences.from_lists([]))
    assert rank_queries(Fixed([0] * N_ITEMS), split(), nobody, 3).ids.shape == (0, 3)


def test_lists_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"TooShort.recommend gave ids of shape \(4, 2\)"):
        rank_queries(TooShort([0] * N_ITEMS), split(), split().test, 3)
