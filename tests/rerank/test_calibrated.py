"""Calibrated lists against their formula in plain Python, and against the metric that they are made for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.data.item_table import ItemTable
from crossrec.evaluation.metrics.calibration import calibration
from crossrec.rerank.base import Pool
from crossrec.rerank.calibrated import Calibrated
from crossrec.types import ABSENT, InputError, Sequences

N, G, B, C = 20, 4, 5, 9


def world(seed: int) -> tuple[ItemTable, Pool]:
    """Items with 0 to 4 categories; pools with ties, and with 0 to 9 candidates; an empty history."""
    rng = np.random.default_rng(seed)
    member_NG = (rng.random((N, G)) < 0.3).astype(np.float32)
    ids = np.full((B, C), ABSENT)
    scores = np.full((B, C), -np.inf, np.float32)
    for row, length in enumerate([C, 0, 3, *rng.integers(1, C + 1, B - 3)]):
        ids[row, :length] = rng.permutation(N)[:length]
        scores[row, :length] = np.sort(rng.integers(0, 6, length))[::-1]
    histories = Sequences.from_lists([rng.integers(0, N, length) for length in [8, 3, 0, 1, 9]])
    traits = ItemTable(rng.integers(0, 20, N), torch.from_numpy(member_NG))
    return traits, Pool(torch.from_numpy(ids), torch.from_numpy(scores), histories)


def distribution(items: list[int], member_NG: np.ndarray) -> list[float]:
    known = [i for i in items if member_NG[i].any()]
    return [
        sum(member_NG[i, g] / member_NG[i].sum() for i in known) / max(len(known), 1)
        for g in range(member_NG.shape[1])
    ]


def divergence(wanted: list[float], items: list[int], member_NG: np.ndarray, alpha: float) -> float:
    listed = distribution(items, member_NG)
    return sum(
        p * math.log(p / ((1 - alpha) * q + alpha * p)) for p, q in zip(wanted, listed, strict=True) if p > 0
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    diversity=st.sampled_from([0.1, 0.5, 1.0]),
    smoothing=st.sampled_from([0.01, 0.3]),
    k=st.sampled_from([1, 4, 9]),
)
def test_every_choice_is_the_best_by_the_formula(
    seed: int, diversity: float, smoothing: float, k: int
) -> None:
    traits, pool = world(seed)
    config = Calibrated.Options(diversity=diversity, smoothing=smoothing)
    result = config.build(traits).rerank(pool, k)
    member_NG = traits.categories_NG.numpy()
    relevance_BC = pool.relevance("minmax").tolist()
    for row, ids in enumerate(pool.ids_BC.tolist()):
        wanted = distribution(pool.histories.row(row).tolist(), member_NG)
        open_columns = [c for c in range(C) if ids[c] != ABSENT]
        chosen: list[int] = []
        for item in result.ids_BC[row].tolist():
            if not open_columns:
                assert item == ABSENT
                continue
            values = {
                c: (1 - diversity) * relevance_BC[row][c]
                - diversity * divergence(wanted, [*chosen, ids[c]], member_NG, smoothing)
                for c in open_columns
            }
            column = ids.index(item)
            assert values[column] >= max(values.values()) - 1e-5
            for earlier in open_columns[: open_columns.index(column)]:
                same_categories = (member_NG[ids[earlier]] == member_NG[item]).all()
                assert not (same_categories and relevance_BC[row][earlier] == relevance_BC[row][column])
            open_columns.remove(column)
            chosen.append(item)


@pytest.mark.parametrize("seed", range(5))
def test_the_metric_agrees(seed: int) -> None:
    """At full strength the first choice is the single item that the metric itself finds best."""
    traits, pool = world(seed)
    categories = csr_matrix(traits.categories_NG.numpy())
    first = Calibrated.Options(diversity=1.0).build(traits).rerank(pool, 1).ids_BC.numpy()
    each_BC = np.stack(
        [calibration(pool.ids_BC[:, [c]].numpy(), pool.histories, categories, 1) for c in range(C)], 1
    )
    chosen_B = calibration(first, pool.histories, categories, 1)
    known_B = ~np.isnan(each_BC).all(1)
    assert known_B.any()
    np.testing.assert_allclose(chosen_B[known_B], np.nanmin(each_BC[known_B], 1), atol=1e-5)


def test_a_history_of_two_to_one_gets_a_list_of_two_to_one() -> None:
    member_NG = torch.tensor([[1.0, 0]] * 6 + [[0.0, 1]] * 3)
    pool = Pool(torch.arange(9)[None], torch.arange(9.0).flip(0)[None], Sequences.from_lists([[0, 1, 8]]))
    reranked = Calibrated.Options(diversity=0.9).build(ItemTable(np.ones(9), member_NG)).rerank(pool, 6)
    assert (reranked.ids_BC < 6).sum() == 4


@pytest.mark.parametrize("seed", range(3))
def test_without_a_history_or_diversity_the_ranking_stays(seed: int) -> None:
    traits, pool = world(seed)
    assert torch.equal(
        Calibrated.Options(diversity=0).build(traits).rerank(pool, 6).ids_BC, pool.ids_BC[:, :6]
    )
    nobody = Pool(pool.ids_BC, pool.scores_BC, Sequences.from_lists([[]] * B))
    reranked = Calibrated.Options(diversity=0.9).build(traits).rerank(nobody, 6)
    assert torch.equal(reranked.ids_BC, pool.ids_BC[:, :6])


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_equals_one_user_at_a_time(seed: int) -> None:
    traits, pool = world(seed)
    reranker = Calibrated.Options(diversity=0.7).build(traits)
    together = reranker.rerank(pool, 8)
    for row in range(B):
        alone = Pool(
            pool.ids_BC[row : row + 1], pool.scores_BC[row : row + 1], pool.histories.take(np.array([row]))
        )
        assert torch.equal(reranker.rerank(alone, 8).ids_BC[0], together.ids_BC[row])


def test_no_categories_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="calibrated needs item categories"):
        Calibrated.Options().build(ItemTable(np.ones(3), torch.zeros(3, 0)))
