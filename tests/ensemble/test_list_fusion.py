"""Every normalisation and every fusion of ranks against plain loops; what silence and -inf mean."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.ensemble import ListFusionOptions
from crossrec.ensemble.base import MemberScores, fuse
from crossrec.ensemble.candidates import as_lists, union
from crossrec.ensemble.list_fusion import ALL_FUSIONS, BordaFusion, ReciprocalRankFusion, ScoreFusion
from crossrec.types import ABSENT

INF = math.inf


PLACES = 6


def opinion(own: list[float], scores: list[float], ranks: list[float]) -> MemberScores:
    """What a member says in one row."""
    refused = torch.tensor([[score == -INF for score in scores]])
    return MemberScores(
        torch.tensor([own]), torch.tensor([scores]), torch.tensor([ranks], dtype=torch.float64), refused
    )


def zscore(own: list[float], score: float) -> float:
    mean = sum(own) / len(own)
    std = math.sqrt(sum((s - mean) ** 2 for s in own) / len(own))
    return (score - mean) / std


def minmax(own: list[float], score: float) -> float:
    return (score - min(own)) / (max(own) - min(own))


def log_softmax(own: list[float], score: float) -> float:
    top = max(own)
    return score - top - math.log(sum(math.exp(s - top) for s in own))


def softmax(own: list[float], score: float) -> float:
    return math.exp(log_softmax(own, score))


ORACLES: dict[str, Callable[[list[float], float], float]] = {
    "zscore": zscore,
    "minmax": minmax,
    "softmax": softmax,
    "log_softmax": log_softmax,
}


finite = st.floats(-30, 30, width=32).map(lambda x: round(x, 2))


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=50)
@given(own=st.lists(finite, min_size=2, max_size=PLACES), other=st.lists(finite, max_size=4))
def test_a_normalisation_equals_its_loop(name: str, own: list[float], other: list[float]) -> None:
    own, other = (np.asarray(values, np.float32).tolist() for values in (own, other))
    scores = [*own, *other, -INF]
    said = opinion([*own, -INF], scores, [*range(1, len(own) + 1), *[INF] * (len(other) + 1)])
    added = ScoreFusion.Options.model_validate({"normalise": name}).build(PLACES)(said)[0].tolist()
    if len(set(own)) == 1:
        assert added == [0.0] * len(scores)
        return
    # The candidate without a score counts as the lowest of the list.
    expected = [ORACLES[name](own, score) for score in (*own, *other)]
    expected.append(0.0 if name == "softmax" else ORACLES[name](own, min(own)))
    np.testing.assert_allclose(added, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=50)
@given(ranks=st.permutations(range(1, PLACES + 1)), constant=st.floats(0, 100))
def test_reciprocal_ranks_and_borda_equal_their_loops(ranks: list[int], constant: float) -> None:
    said = opinion(
        [float(PLACES - r) for r in range(PLACES)], [1.0] * (PLACES + 1), [*map(float, ranks), INF]
    )
    rrf = ReciprocalRankFusion.Options(constant=constant).build(PLACES)(said)[0].tolist()
    np.testing.assert_allclose(rrf, [*(1 / (constant + rank) for rank in ranks), 0], rtol=1e-12)
    borda = BordaFusion.Options().build(PLACES)(said)[0].tolist()
    points = [sum(1 for other in range(1, PLACES + 1) if other >= rank) / PLACES for rank in ranks]
    np.testing.assert_allclose(borda, [*points, 0], rtol=1e-12)


@pytest.mark.parametrize("config", ALL_FUSIONS, ids=lambda config: config.label)
def test_equal_scores_and_empty_lists_say_nothing(config: ListFusionOptions) -> None:
    rule = config.build(PLACES)
    for own in ([2.0, 2.0, 2.0], [-INF, -INF, -INF]):
        there = own[0] > -INF
        said = opinion(own, [*own, 5.0], [1.0, 2.0, 3.0, INF] if there else [INF] * 4)
        assert rule(said)[0].tolist() == [0.0] * 4


@pytest.mark.parametrize("config", ALL_FUSIONS, ids=lambda config: config.label)
def test_a_rule_keeps_the_members_order(config: ListFusionOptions) -> None:
    own = [3.0, 1.0, 0.99999994, -2.0, -200.0]
    added = config.build(5)(opinion(own, own, [1.0, 2.0, 3.0, 4.0, 5.0]))[0]
    assert (added.diff() < 0).all()
    assert added.dtype == torch.float64


def test_the_sum_is_weighted_and_what_nobody_lists_is_out() -> None:
    first = opinion([2.0, 1.0], [2.0, 1.0, -INF, -INF], [1.0, 2.0, INF, INF])
    second = opinion([5.0, 4.0], [-INF, 5.0, 4.0, -INF], [INF, 1.0, 2.0, INF])
    added = [torch.tensor([[1.0, 0.5, 0.0, 0.0]]).double(), torch.tensor([[0.0, 1.0, 0.25, 0.0]]).double()]
    assert fuse(added, [first, second], [0.25, 0.5], "lowest").tolist() == [[0.25, 0.625, 0.125, -INF]]
    # Under veto an item must not be refused by anyone with a weight.
    assert fuse(added, [first, second], [0.25, 0.5], "veto").tolist() == [[-INF, 0.625, -INF, -INF]]
    assert fuse(added, [first, second], [1.0, 0.0], "veto").tolist() == [[1.0, 0.5, -INF, -INF]]


@settings(max_examples=50)
@given(
    lists=st.lists(st.lists(st.integers(ABSENT, 9), min_size=4, max_size=4), min_size=2, max_size=6).filter(
        lambda rows: len(rows) % 2 == 0
    )
)
def test_the_union_holds_each_item_once_rising(lists: list[list[int]]) -> None:
    half = len(lists) // 2
    first, second = np.array(lists[:half]), np.array(lists[half:])
    found = union([first, second])
    for row in range(half):
        expected = sorted((set(lists[row]) | set(lists[half + row])) - {ABSENT})
        assert found[row].tolist() == expected + [ABSENT] * (found.shape[1] - len(expected))


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 1.0 + 1e-12, 2.0, -INF]), min_size=7, max_size=7),
        min_size=1,
        max_size=5,
    ),
    k=st.integers(1, 9),
)
def test_lists_equal_a_plain_sort_with_ties_to_the_lower_index(rows: list[list[float]], k: int) -> None:
    ids = np.tile(np.arange(0, 21, 3), (len(rows), 1))
    found = as_lists(ids, torch.tensor(rows, dtype=torch.float64), k)
    for row, scores in enumerate(rows):
        order = sorted((c for c in range(7) if scores[c] > -INF), key=lambda c: (-scores[c], c))[:k]
        assert found.ids[row].tolist() == [3 * c for c in order] + [ABSENT] * (k - len(order))
        assert np.isneginf(found.scores[row, len(order) :]).all()
