"""Accuracy metrics against plain-Python oracles, and values known by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.evaluation.matching import match_targets
from crossrec.evaluation.metrics import ACCURACY
from crossrec.types import ABSENT, Sequences

N_ITEMS = 12
PLACES = 6

List = list[int]


def recall(ranked: List, targets: set[int], k: int) -> float:
    return sum(i in targets for i in ranked[:k]) / len(targets)


def hit(ranked: List, targets: set[int], k: int) -> float:
    return 1.0 if any(i in targets for i in ranked[:k]) else 0.0


def mrr(ranked: List, targets: set[int], k: int) -> float:
    for rank, item in enumerate(ranked[:k], start=1):
        if item in targets:
            return 1 / rank
    return 0.0


def ndcg(ranked: List, targets: set[int], k: int) -> float:
    gain = sum(1 / math.log2(rank + 1) for rank, i in enumerate(ranked[:k], start=1) if i in targets)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(targets)) + 1))


def average_precision(ranked: List, targets: set[int], k: int) -> float:
    total = 0.0
    for rank, item in enumerate(ranked[:k], start=1):
        if item in targets:
            total += sum(i in targets for i in ranked[:rank]) / rank
    return total / min(k, len(targets))


ORACLES: dict[str, Callable[[List, set[int], int], float]] = {
    "recall": recall,
    "hit": hit,
    "mrr": mrr,
    "ndcg": ndcg,
    "map": average_precision,
}


def padded(items: List) -> List:
    return items + [ABSENT] * (PLACES - len(items))


ranked_lists = st.lists(st.integers(0, N_ITEMS - 1), max_size=PLACES, unique=True).map(padded)
target_rows = st.lists(st.integers(0, N_ITEMS - 1), max_size=8)


@given(st.lists(st.tuples(ranked_lists, target_rows), min_size=1, max_size=8), st.integers(1, PLACES))
def test_matches_the_oracle(rows: list[tuple[List, List]], k: int) -> None:
    ids_QK = np.array([ranked for ranked, _ in rows])
    targets = Sequences.from_lists([row for _, row in rows])
    ranked = match_targets(ids_QK, targets, targets, N_ITEMS)
    assert set(ORACLES) == set(ACCURACY)
    for name, metric in ACCURACY.items():
        found = metric(ranked.hits_QK, ranked.n_targets_Q, k)
        expected = [ORACLES[name](r, set(t), k) if t else math.nan for r, t in rows]
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("ranked", "targets", "expected"),
    [
        ([3, 1, 2], [3], {"recall": 1, "ndcg": 1, "mrr": 1, "hit": 1, "map": 1}),
        ([1, 3, 2], [3], {"recall": 1, "ndcg": 1 / math.log2(3), "mrr": 0.5, "hit": 1, "map": 0.5}),
        ([1, 2, 0], [3], {"recall": 0, "ndcg": 0, "mrr": 0, "hit": 0, "map": 0}),
        ([4, 5, 6], [4, 5, 6, 7, 8, 9], {"recall": 0.5, "ndcg": 1, "mrr": 1, "hit": 1, "map": 1}),
        ([ABSENT, ABSENT, ABSENT], [3], {"recall": 0, "ndcg": 0, "mrr": 0, "hit": 0, "map": 0}),
        ([3, 1, 2], [3, 3, 3], {"recall": 1, "ndcg": 1, "mrr": 1, "hit": 1, "map": 1}),
    ],
    ids=["first", "second", "miss", "more-targets-than-places", "empty-list", "target-named-thrice"],
)
def test_values_known_by_hand(ranked: List, targets: List, expected: dict[str, float]) -> None:
    rows = Sequences.from_lists([targets])
    laid = match_targets(np.array([ranked]), rows, rows, N_ITEMS)
    for name, value in expected.items():
        assert ACCURACY[name](laid.hits_QK, laid.n_targets_Q, 3)[0] == pytest.approx(value), name
