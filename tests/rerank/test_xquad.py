"""xQuAD against its formula in plain Python, and aspects as short lists."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.item_table import ItemTable
from crossrec.rerank.aspects import Aspects
from crossrec.rerank.base import Pool
from crossrec.rerank.xquad import XQuAD
from crossrec.types import ABSENT, InputError, Sequences

N, G, B, C = 20, 4, 5, 9


def world(seed: int) -> tuple[ItemTable, Pool]:
    """Items with 0 to 4 categories; pools with ties, and with 0 to 9 candidates; an empty history."""
    rng = np.random.default_rng(seed)
    member_NG = (rng.random((N, G)) < 0.3).astype(np.float32)
    traits = ItemTable(rng.integers(0, 20, N), torch.from_numpy(member_NG))
    ids = np.full((B, C), ABSENT)
    scores = np.full((B, C), -np.inf, np.float32)
    for row, length in enumerate([C, 0, 3, *rng.integers(1, C + 1, B - 3)]):
        ids[row, :length] = rng.permutation(N)[:length]
        scores[row, :length] = np.sort(rng.integers(0, 6, length))[::-1]
    histories = Sequences.from_lists([rng.integers(0, N, length) for length in [8, 3, 0, 1, 9]])
    return traits, Pool(torch.from_numpy(ids), torch.from_numpy(scores), histories)


def interests(
    config: XQuAD.Options, member: np.ndarray, counts: np.ndarray, history: np.ndarray
) -> list[float]:
    sizes = member.sum(1)
    prior = [
        sum((counts[i] + 1) / sizes[i] for i in range(len(member)) if member[i, g])
        for g in range(member.shape[1])
    ]
    clicks = [sum(1 / sizes[i] for i in history if member[i, g]) for g in range(member.shape[1])]
    return [
        (clicks[g] + config.prior_clicks * prior[g] / sum(prior)) / (sum(clicks) + config.prior_clicks)
        for g in range(member.shape[1])
    ]


def value(
    config: XQuAD.Options,
    member: np.ndarray,
    interest: list[float],
    relevance: float,
    item: int,
    chosen: list[int],
) -> float:
    def covers(i: int, g: int) -> float:
        if not member[i, g]:
            return 0.0
        return 1.0 if config.coverage == "membership" else 1 / member[i].sum()

    total = 0.0
    for g in range(member.shape[1]):
        left = math.prod(1 - covers(j, g) for j in chosen)
        if config.redundancy == "share":
            left = 1 - sum(covers(j, g) for j in chosen) / len(chosen) if chosen else 1.0
        total += interest[g] * covers(item, g) * left
    return (1 - config.diversity) * relevance + config.diversity * total


def assert_greedy(config: XQuAD.Options, member: np.ndarray, counts: np.ndarray, pool: Pool, k: int) -> None:
    """Every choice has the highest value, given those before it; among equals, it ranked best."""
    traits = ItemTable(counts, torch.from_numpy(member))
    result = config.build(traits).rerank(pool, k)
    relevance_BC = pool.relevance(config.relevance).double().numpy()
    for row, ids in enumerate(pool.ids_BC.tolist()):
        interest = interests(config, member, counts, pool.histories.row(row))
        open_columns = [c for c in range(C) if ids[c] != ABSENT]
        chosen: list[int] = []
        for item in result.ids_BC[row].tolist():
            if not open_columns:
                assert item == ABSENT
                continue
            values = {
                c: value(config, member, interest, relevance_BC[row, c], ids[c], chosen) for c in open_columns
            }
            column = ids.index(item)
            assert values[column] >= max(values.values()) - 1e-5
            for earlier in open_columns[: open_columns.index(column)]:
                same_aspects = (member[ids[earlier]] == member[item]).all()
                assert not (same_aspects and relevance_BC[row, earlier] == relevance_BC[row, column])
            open_columns.remove(column)
            chosen.append(item)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    diversity=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    coverage=st.sampled_from(["share", "membership"]),
    redundancy=st.sampled_from(["product", "share"]),
    k=st.sampled_from([1, 4, 9]),
)
def test_equals_the_formula(seed: int, diversity: float, coverage: str, redundancy: str, k: int) -> None:
    traits, pool = world(seed)
    config = XQuAD.Options.model_validate(
        {"diversity": diversity, "coverage": coverage, "redundancy": redundancy, "prior_clicks": 2.0}
    )
    assert_greedy(config, traits.categories_NG.numpy(), traits.train_counts, pool, k)


@pytest.mark.parametrize("seed", range(5))
def test_head_and_tail_as_aspects(seed: int) -> None:
    traits, pool = world(seed)
    config = XQuAD.Options(aspects="popularity", redundancy="share", coverage="membership", tail_share=0.3)
    # Straight from the words: from the most clicked item on, until the head holds at least 70 %.
    tail, held = np.ones(N, bool), 0
    for item in sorted(range(N), key=lambda i: (-traits.train_counts[i], i)):
        if held >= 0.7 * traits.train_counts.sum():
            break
        tail[item], held = False, held + traits.train_counts[item]
    by_popularity = XQuAD.Options.model_validate({**config.model_dump(), "aspects": "category"})
    member_N2 = np.stack([~tail, tail], 1).astype(np.float32)
    expected = by_popularity.build(ItemTable(traits.train_counts, torch.from_numpy(member_N2))).rerank(
        pool, 6
    )
    assert torch.equal(config.build(traits).rerank(pool, 6).ids_BC, expected.ids_BC)
    assert_greedy(by_popularity, member_N2, traits.train_counts, pool, 6)


def test_takes_one_of_each_interest_before_more_of_the_same() -> None:
    member_NG = torch.tensor([[1, 0], [1, 0], [1, 0], [0, 1.0]])
    pool = Pool(
        torch.tensor([[0, 1, 2, 3]]), torch.tensor([[4.0, 3.9, 3.8, 0.0]]), Sequences.from_lists([[0, 3]])
    )
    reranked = XQuAD.Options(diversity=0.9).build(ItemTable(np.ones(4), member_NG)).rerank(pool, 2)
    assert reranked.ids_BC.tolist() == [[0, 3]]
    assert reranked.scores_BC.tolist() == [[4.0, 0.0]]


@pytest.mark.parametrize("seed", range(5))
def test_no_diversity_leaves_the_ranking_alone_even_out_of_the_scores_order(seed: int) -> None:
    traits, pool = world(seed)
    shuffled = pool.pick(torch.tensor([[2, 0, 1]]).expand(B, 3))
    reranked = XQuAD.Options(diversity=0).build(traits).rerank(shuffled, 2)
    assert torch.equal(reranked.ids_BC, shuffled.ids_BC[:, :2])


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_equals_one_user_at_a_time(seed: int) -> None:
    traits, pool = world(seed)
    reranker = XQuAD.Options(diversity=0.7).build(traits)
    together = reranker.rerank(pool, 8)
    for row in range(B):
        alone = Pool(
            pool.ids_BC[row : row + 1], pool.scores_BC[row : row + 1], pool.histories.take(np.array([row]))
        )
        assert torch.equal(reranker.rerank(alone, 8).ids_BC[0], together.ids_BC[row])


def test_an_empty_history_has_the_interests_of_the_training_clicks() -> None:
    member_NG = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 0]])
    reranker = XQuAD.Options().build(ItemTable(np.array([3, 1, 9]), member_NG))
    # Item 0 gives 4 clicks to the first category, item 1 one of its 2 to each; the third item counts nowhere.
    interest_BG = reranker.interest(Sequences.from_lists([[]]))
    np.testing.assert_allclose(interest_BG, [[5 / 6, 1 / 6, 0, 0]], atol=1e-6)


def test_aspects_keep_what_the_matrix_says() -> None:
    member_NG = torch.tensor([[0.0, 1, 1], [0, 0, 0], [1, 0, 0]])
    aspects = Aspects(member_NG)
    assert aspects.of(torch.tensor([[0, 1, 2, ABSENT]])).tolist() == [[[1, 2], [3, 3], [0, 3], [3, 3]]]
    assert aspects.share(torch.tensor([[0, 1, 2, ABSENT]])).tolist() == [[0.5, 0, 1, 0]]
    assert aspects.mass(Sequences.from_lists([[0, 0, 2], [], [1]])).tolist() == [[1, 1, 1, 0]] + [[0] * 4] * 2


def test_no_categories_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="xquad needs item categories, but no item of the catalogue has one"):
        XQuAD.Options().build(ItemTable(np.ones(3), torch.zeros(3, 0)))
