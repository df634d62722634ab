"""Fatigue against its formula in plain Python: gaps in clicks and seconds, items and categories."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.fatigue import Fatigue
from crossrec.types import ABSENT, InputError, Sequences

N, G, B, C = 12, 4, 5, 9


def world(seed: int) -> tuple[ItemTable, Pool]:
    """Histories that repeat items, one of them empty; pools that hold items of the histories."""
    rng = np.random.default_rng(seed)
    member_NG = (rng.random((N, G)) < 0.3).astype(np.float32)
    ids = np.full((B, C), ABSENT)
    scores = np.full((B, C), -np.inf, np.float32)
    for row, length in enumerate([C, 0, 3, *rng.integers(1, C + 1, B - 3)]):
        ids[row, :length] = rng.permutation(N)[:length]
        scores[row, :length] = np.sort(rng.integers(0, 6, length))[::-1]
    rows = Sequences.from_lists([rng.integers(0, N, length) for length in [8, 3, 0, 1, 9]])
    times = np.concatenate([np.sort(rng.integers(0, 1000, length)) for length in rows.lengths])
    histories = Sequences(rows.offsets, rows.items, times)
    traits = ItemTable(rng.integers(0, 20, N), torch.from_numpy(member_NG))
    return traits, Pool(torch.from_numpy(ids), torch.from_numpy(scores), histories)


def tired(
    config: Fatigue.Options, member_NG: np.ndarray, item: int, clicks: list[int], gaps: list[float]
) -> float:
    def forgotten(seen: list[float]) -> float:
        return 2 ** (-min(seen) / config.half_life_in_unit) if seen else 0.0

    own = forgotten([gap for click, gap in zip(clicks, gaps, strict=True) if click == item])
    categories = np.flatnonzero(member_NG[item])
    like = [
        forgotten([gap for click, gap in zip(clicks, gaps, strict=True) if member_NG[click, g]])
        for g in categories
    ]
    category = sum(like) / len(like) if like else 0.0
    return 1 - (1 - own) * (1 - config.category_weight * category)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    diversity=st.sampled_from([0.2, 0.7, 1.0]),
    unit=st.sampled_from(["clicks", "seconds"]),
    category_weight=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_equals_the_formula(seed: int, diversity: float, unit: str, category_weight: float) -> None:
    traits, pool = world(seed)
    config = Fatigue.Options.model_validate(
        {
            "diversity": diversity,
            "unit": unit,
            "half_life": 3.0 if unit == "clicks" else 200.0,
            "category_weight": category_weight,
        }
    )
    result = config.build(traits).rerank(pool, 6)
    relevance_BC = pool.relevance("minmax").tolist()
    for row, ids in enumerate(pool.ids_BC.tolist()):
        start, end = pool.histories.offsets[row : row + 2]
        clicks = pool.histories.items[start:end].tolist()
        gaps = [float(len(clicks) - 1 - i) for i in range(len(clicks))]
        if unit == "seconds":
            assert pool.histories.times is not None
            times = pool.histories.times[start:end]
            gaps = [float(times[-1] - t) for t in times]
        values = {
            item: relevance
            * (1 - diversity * tired(config, traits.categories_NG.numpy(), item, clicks, gaps))
            for item, relevance in zip(ids, relevance_BC[row], strict=True)
            if item != ABSENT
        }
        got = [item for item in result.ids_BC[row].tolist() if item != ABSENT]
        best = sorted(values.values(), reverse=True)[:6]
        assert len(set(got)) == len(best)
        np.testing.assert_allclose([values[item] for item in got], best, atol=1e-6)
        np.testing.assert_allclose(result.scores_BC[row, : len(got)], best, atol=1e-6)
        assert result.ids_BC[row, len(got) :].eq(ABSENT).all()


def test_a_repeated_item_tires_by_its_latest_click_and_recovers_by_half_each_half_life() -> None:
    member_NG = torch.zeros(4, 0)
    # Item 0 was clicked first and again one click before the last; item 1 last; items 2 and 3 never.
    pool = Pool(
        torch.tensor([[0, 1, 2, 3]]), torch.tensor([[9.0, 9, 9, 9]]), Sequences.from_lists([[0, 0, 1]])
    )
    config = Fatigue.Options(diversity=0.8, half_life=1, category_weight=0)
    reranked = config.build(ItemTable(np.ones(4), member_NG)).rerank(pool, 4)
    assert reranked.ids_BC.tolist() == [[2, 3, 0, 1]]
    np.testing.assert_allclose(reranked.scores_BC, [[1, 1, 1 - 0.8 / 2, 1 - 0.8]], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_without_a_history_or_diversity_the_ranking_stays(seed: int) -> None:
    traits, pool = world(seed)
    assert torch.equal(Fatigue.Options(diversity=0).build(traits).rerank(pool, 6).ids_BC, pool.ids_BC[:, :6])
    nobody = Pool(pool.ids_BC, pool.scores_BC, Sequences.from_lists([[]] * B))
    reranked = Fatigue.Options(diversity=1).build(traits).rerank(nobody, 6)
    assert torch.equal(reranked.ids_BC, pool.ids_BC[:, :6])


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_equals_one_user_at_a_time(seed: int) -> None:
    traits, pool = world(seed)
    reranker = Fatigue.Options(diversity=0.7, unit="seconds", half_life=100).build(traits)
    together = reranker.rerank(pool, 8)
    for row in range(B):
        alone = Pool(
            pool.ids_BC[row : row + 1], pool.scores_BC[row : row + 1], pool.histories.take(np.array([row]))
        )
        one = reranker.rerank(alone, 8)
        assert torch.equal(one.ids_BC[0], together.ids_BC[row])
        assert torch.equal(one.scores_BC[0], together.scores_BC[row])


def test_what_is_missing_is_named() -> None:
    traits, pool = world(0)
    nameless = ItemTable(traits.train_counts, torch.zeros(N, 0))
    with pytest.raises(InputError, match="category_weight: 0"):
        Fatigue.Options().build(nameless)
    timeless = Pool(
        pool.ids_BC, pool.scores_BC, Sequences(pool.histories.offsets, pool.histories.items, None)
    )
    with pytest.raises(InputError, match="use 'clicks'"):
        Fatigue.Options(unit="seconds").build(traits).rerank(timeless, 3)


def test_half_lives_without_a_setting_suit_the_unit() -> None:
    assert Fatigue.Options().half_life_in_unit == 10
    assert Fatigue.Options(unit="seconds").half_life_in_unit == 7 * 24 * math.prod([60, 60])
