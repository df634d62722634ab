"""What holds for every reranker that goes by similarity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.item_table import ItemTable
from crossrec.rerank import RERANKERS, greedy, spaces
from crossrec.rerank.base import Pool
from crossrec.rerank.dpp import GreedyDPP
from crossrec.rerank.facility_location import FacilityLocation
from crossrec.rerank.greedy import SimilarityTradeOff
from crossrec.rerank.max_sum import MaxSumDispersion
from crossrec.rerank.mmr import MMR
from crossrec.rerank.sliding_spectrum import SlidingSpectrum
from crossrec.rerank.spaces import space_named
from crossrec.types import ABSENT, Sequences

CONFIGS = [
    MMR.Options(space="text"),
    GreedyDPP.Options(space="text"),
    GreedyDPP.Options(space="text", window=3),
    MaxSumDispersion.Options(space="text"),
    SlidingSpectrum.Options(space="text"),
    FacilityLocation.Options(space="text"),
    MMR.Options(),
    GreedyDPP.Options(),
    MaxSumDispersion.Options(),
    SlidingSpectrum.Options(),
    FacilityLocation.Options(),
]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{RERANKERS.name_of(c)}-{c.space}")


def test_every_reranker_by_similarity_is_here() -> None:
    known = {name for name in RERANKERS if issubclass(RERANKERS.options(name), SimilarityTradeOff)}
    missing = known - {RERANKERS.name_of(config) for config in CONFIGS}
    assert not missing, f"add options to CONFIGS for {missing}"


def with_diversity(config: SimilarityTradeOff, diversity: float) -> Any:
    return config.model_copy(update={"diversity": diversity})


def large_pool(users: int, candidates: int) -> tuple[ItemTable, Pool]:
    """Items of forty kinds, skewed scores, ties among them."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(40, 16))
    kind_N = rng.integers(0, 40, 500)
    vectors = torch.from_numpy(kinds[kind_N] + rng.normal(size=(500, 16)) + 0.5).float()
    member_NG = torch.from_numpy((rng.random((40, 8)) < 0.3)[kind_N]).float()
    traits = ItemTable(np.ones(500), member_NG, {"text": torch.nn.functional.normalize(vectors, dim=1)})
    ids = np.stack([rng.permutation(500)[:candidates] for _ in range(users)])
    scores = np.sort(rng.exponential(size=(users, candidates)).round(2))[:, ::-1].astype(np.float32)
    histories = Sequences.from_lists([[]] * users)
    return traits, Pool(torch.from_numpy(ids), torch.from_numpy(scores.copy()), histories)


def row(pool: Pool, number: int) -> Pool:
    rows = slice(number, number + 1)
    return Pool(pool.ids_BC[rows], pool.scores_BC[rows], pool.histories.take(np.array([number])))


@every_config
def test_no_diversity_leaves_the_order_alone(config: Any, make_world: Callable[[int], Any]) -> None:
    world = make_world(0)
    # Scores that don't fall along the list, as an earlier stage may leave them.
    pool = Pool(world.pool.ids_BC, -world.pool.scores_BC, world.pool.histories)
    result = with_diversity(config, 0.0).build(world.traits).rerank(pool, 7)
    assert torch.equal(result.ids_BC, pool.ids_BC[:, :7])
    assert torch.equal(result.scores_BC, pool.scores_BC[:, :7])


@every_config
@pytest.mark.parametrize("diversity", [0.1, 0.5, 1.0])
def test_the_most_relevant_comes_first(
    config: Any, diversity: float, make_world: Callable[[int], Any]
) -> None:
    for seed in range(5):
        world = make_world(seed)
        result = with_diversity(config, diversity).build(world.traits).rerank(world.pool, 4)
        assert torch.equal(result.ids_BC[:, 0], world.pool.ids_BC[:, 0])


@every_config
@pytest.mark.parametrize("diversity", [0.2, 0.6])
def test_a_batch_gives_the_lists_of_one_user_at_a_time(config: Any, diversity: float) -> None:
    traits, pool = large_pool(40, 60)
    reranker = with_diversity(config, diversity).build(traits)
    together = reranker.rerank(pool, 10)
    alone = [reranker.rerank(row(pool, number), 10).ids_BC for number in range(len(pool))]
    assert torch.equal(together.ids_BC, torch.cat(alone))


@every_config
@pytest.mark.parametrize("diversity", [0.05, 0.3, 0.9])
def test_blocks_and_the_front_of_the_pool_change_no_list(
    config: Any, diversity: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    traits, pool = large_pool(64, 80)
    reranker = with_diversity(config, diversity).build(traits)
    monkeypatch.setattr(greedy, "FRONT_SHARE", 1.0)
    whole = reranker.rerank(pool, 8)
    monkeypatch.setattr(spaces, "CACHE_BYTES", 4 * 80 * 16 * 5)
    monkeypatch.setattr(greedy, "WORTHWHILE", 0.0)
    for share in (0.1, 0.25, 0.5):
        monkeypatch.setattr(greedy, "FRONT_SHARE", share)
        assert torch.equal(reranker.rerank(pool, 8).ids_BC, whole.ids_BC)


def test_the_front_decides_lists_of_weak_diversity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the test above would compare the whole pool with itself."""
    traits, pool = large_pool(64, 80)
    widths: list[int] = []
    original = greedy._Choice._greedy

    def counted(self: Any, rows_B: torch.Tensor, width: int) -> Any:
        widths.extend([width] * len(rows_B))
        return original(self, rows_B, width)

    monkeypatch.setattr(greedy._Choice, "_greedy", counted)
    MMR.Options(space="text", diversity=0.05).build(traits).rerank(pool, 8)
    assert widths.count(16) == 64
    assert widths.count(80) == 0


@every_config
def test_lists_run_out_with_absent(config: Any, make_world: Callable[[int], Any]) -> None:
    world = make_world(3)
    pool = world.pool
    result = config.build(world.traits).rerank(pool, 50)
    assert result.ids_BC.shape == pool.ids_BC.shape
    assert torch.equal(result.ids_BC.sort(1).values, pool.ids_BC.sort(1).values)
    present_BC = result.ids_BC != ABSENT
    assert bool((present_BC[:, 1:] <= present_BC[:, :-1]).all())
    assert bool((result.scores_BC[~present_BC] == -torch.inf).all())


@every_config
def test_no_users_and_no_candidates(config: Any, make_world: Callable[[int], Any]) -> None:
    world = make_world(0)
    nobody = Pool(world.pool.ids_BC[:0], world.pool.scores_BC[:0], world.pool.histories.take(np.arange(0)))
    assert config.build(world.traits).rerank(nobody, 5).ids_BC.shape == (0, 5)
    nothing = Pool(world.pool.ids_BC[:, :0], world.pool.scores_BC[:, :0], world.pool.histories)
    assert config.build(world.traits).rerank(nothing, 5).ids_BC.shape == (len(world.pool), 0)


@pytest.mark.parametrize(
    "config",
    [config for config in CONFIGS if not isinstance(config, FacilityLocation.Options)],  # which covers
    ids=lambda c: f"{RERANKERS.name_of(c)}-{c.space}",
)
def test_more_diversity_gives_lists_further_apart(config: Any) -> None:
    traits, pool = large_pool(60, 60)

    def overlap(diversity: float) -> float:
        """Mean similarity of the first eight, in the space of the reranker."""
        ids_BK = with_diversity(config, diversity).build(traits).rerank(pool, 8).ids_BC
        similarity = space_named(config.space, traits).of(ids_BK)
        columns = (similarity.to(torch.full((len(ids_BK),), place)) for place in range(8))
        return float(torch.stack(list(columns)).mean())

    assert overlap(0.0) > overlap(0.3) > overlap(0.8)
