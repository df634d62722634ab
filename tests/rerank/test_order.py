"""``order: score`` shows the same set, by relevance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from crossrec.config import validate
from crossrec.rerank import RERANKERS
from crossrec.rerank.base import Pool
from crossrec.rerank.recommender import RerankConfig
from crossrec.types import ABSENT, ConfigError, Sequences

BUILDS_SETS = [name for name in RERANKERS if getattr(RERANKERS[name], "builds_set", False)]


def test_all_that_choose_items_one_after_another_have_it() -> None:
    assert set(BUILDS_SETS) == {"mmr", "dpp", "max_sum", "facility_location", "ssd", "xquad", "calibrated"}
    assert all("order" in RERANKERS.options(name).model_fields for name in BUILDS_SETS)


@pytest.mark.parametrize("name", BUILDS_SETS)
def test_the_same_set_by_score(name: str, make_world: Callable[[int], Any]) -> None:
    changed = 0
    for seed in range(4):
        world = make_world(seed)
        histories = Sequences.from_lists([[seed, 1, 2]] * len(world.pool))
        pool = Pool(world.pool.ids_BC, world.pool.scores_BC, histories)
        lists = {
            order: RERANKERS.parse({"type": name, "diversity": 0.7, "order": order})
            .build(world.traits)
            .rerank(pool, 6)
            for order in ("choice", "score")
        }
        usual = RERANKERS.parse({"type": name, "diversity": 0.7}).build(world.traits).rerank(pool, 6)
        assert torch.equal(usual.ids_BC, lists["choice"].ids_BC)
        rows = zip(pool.ids_BC.tolist(), *(lists[o].ids_BC.tolist() for o in lists), strict=True)
        for ids, chosen, sorted_ in rows:
            present = [item for item in chosen if item != ABSENT]
            # Scores fall along the pool, and ties keep its order.
            assert sorted_ == [*sorted(present, key=ids.index), *[ABSENT] * (6 - len(present))]
            changed += chosen != sorted_
        assert (lists["score"].scores_BC.diff(dim=1).nan_to_num(0) <= 0).all()
    assert changed


def test_it_goes_by_score_behind_another_stage() -> None:
    pool = Pool(torch.tensor([[4, 2, 7]]), torch.tensor([[1.0, 3.0, 2.0]]), Sequences.from_lists([[]]))
    picked = pool.pick_set(torch.tensor([[2, 0, ABSENT]]), "score")
    assert picked.ids_BC.tolist() == [[7, 4, ABSENT]]


def test_a_stage_before_others_must_not_have_it() -> None:
    by_score = {"type": "mmr", "order": "score"}
    popular = {"type": "popularity", "relevance": "rank"}
    with pytest.raises(ConfigError, match=r"stages.0: order: score .* set it in the last stage"):
        validate(RerankConfig, {"stages": [by_score, popular]}, "f")
    for stages in ([by_score], [popular, by_score], [by_score, {"type": "quota"}]):
        assert validate(RerankConfig, {"stages": stages}, "f")
