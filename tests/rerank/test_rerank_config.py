"""The registry of rerankers: every type builds, keeps its contract, and is found by its name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.baselines.popularity import Popularity
from crossrec.config import ComponentOptions, Config, validate
from crossrec.data.item_table import ItemTable
from crossrec.rerank import RERANKERS
from crossrec.rerank.base import Pool, Reranker
from crossrec.rerank.recommender import RerankConfig
from crossrec.types import ABSENT, ConfigError, InputError, Recommender, Sequences

N, B, C = 20, 5, 9
TRADE_OFFS = [name for name in RERANKERS if "diversity" in RERANKERS.options(name).model_fields]
CONTEXT = {"type": "context", "column": "brand", "max_per_value": 2}
STAGES: list[dict[str, Any]] = [*({"type": name} for name in TRADE_OFFS), CONTEXT]
"""A stage of every reranker; one without ``diversity`` gets a line here."""


class OnlyEven(Config):
    """A reranker from outside the project: keeps items with an even index."""

    factor: int = 2

    def build(self, traits: ItemTable) -> OnlyEven:
        assert traits.n_items == N
        return self

    def rerank(self, pool: Pool, k: int) -> Pool:
        return pool.reordered(torch.where(pool.ids_BC % self.factor == 0, pool.scores_BC, -torch.inf), k)


class OnlyMultiples(Reranker):
    """The same with nested options, as rerankers of the project have them."""

    class Options(ComponentOptions):
        """Items whose index is a multiple."""

        factor: int = 2

    def __init__(self, options: Options, items: ItemTable) -> None:
        assert items.n_items == N
        self._factor = options.factor

    def rerank(self, pool: Pool, k: int) -> Pool:
        return pool.reordered(torch.where(pool.ids_BC % self._factor == 0, pool.scores_BC, -torch.inf), k)


def traits() -> ItemTable:
    rng = np.random.default_rng(0)
    member_NG = torch.from_numpy((rng.random((N, 4)) < 0.4).astype(np.float32))
    vectors = torch.from_numpy(rng.normal(size=(N, 6)).astype(np.float32))
    unit = torch.nn.functional.normalize(vectors, dim=1)
    unit[3] = 0
    brands = rng.choice(np.array(["x", "y", None], dtype=object), N)
    return ItemTable(rng.integers(0, 9, N), member_NG, {"model": unit, "text": unit}, {"brand": brands})


def pool(seed: int) -> Pool:
    """Lists of 9, 0, 3 and random lengths, with ties; one history is empty."""
    rng = np.random.default_rng(seed)
    ids = np.full((B, C), ABSENT)
    scores = np.full((B, C), -np.inf, np.float32)
    for row, length in enumerate([C, 0, 3, *rng.integers(1, C + 1, B - 3)]):
        ids[row, :length] = rng.permutation(N)[:length]
        scores[row, :length] = np.sort(rng.integers(0, 6, length))[::-1]
    histories = Sequences.from_lists([rng.integers(0, N, length) for length in [8, 3, 0, 1, 9]])
    return Pool(torch.from_numpy(ids), torch.from_numpy(scores), histories)


def one(stage: dict[str, Any]) -> RerankConfig:
    return validate(RerankConfig, {"stages": [stage]}, "f", trust_code=True)


def test_every_reranker_has_a_stage_here() -> None:
    missing = {*RERANKERS} - {stage["type"] for stage in STAGES}
    assert not missing, f"add a stage to STAGES for {missing}"


@pytest.mark.parametrize("k", [1, 5, 30])
@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s["type"])
def test_lists_are_distinct_candidates_then_absent(stage: dict[str, Any], k: int) -> None:
    before = pool(1)
    after = one(stage).stages[0].build(traits()).rerank(before, k)
    assert after.ids_BC.shape == after.scores_BC.shape == (B, min(k, C))
    for row in range(B):
        ids = after.ids_BC[row].tolist()
        got = [item for item in ids if item != ABSENT]
        assert ids == [*got, *[ABSENT] * (len(ids) - len(got))]
        assert len(set(got)) == len(got)
        assert set(got) <= set(before.ids_BC[row].tolist())
        assert torch.isneginf(after.scores_BC[row, len(got) :]).all()
        if stage != CONTEXT:
            assert len(got) == min(k, int(before.present_BC[row].sum()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", TRADE_OFFS)
def test_no_diversity_leaves_the_order_alone(name: str, seed: int) -> None:
    before = pool(seed)
    after = one({"type": name, "diversity": 0}).stages[0].build(traits()).rerank(before, 6)
    assert torch.equal(after.ids_BC, before.ids_BC[:, :6])


@pytest.mark.parametrize(
    "stage",
    [s for s in STAGES if not getattr(RERANKERS[s["type"]], "keeps_account", False)],
    ids=lambda s: s["type"],
)
def test_the_result_of_a_user_depends_on_that_user_only(stage: dict[str, Any]) -> None:
    together, reranker = pool(2), one(stage).stages[0].build(traits())
    expected = reranker.rerank(together, 6)
    for row in range(B):
        rows = torch.tensor([row])
        alone = Pool(
            together.ids_BC[rows], together.scores_BC[rows], together.histories.take(np.array([row]))
        )
        assert torch.equal(reranker.rerank(alone, 6).ids_BC[0], expected.ids_BC[row])


@pytest.mark.parametrize("name", TRADE_OFFS)
def test_strength_changes_something(name: str) -> None:
    before = pool(3)
    after = one({"type": name, "diversity": 0.9}).stages[0].build(traits()).rerank(before, 6)
    assert not torch.equal(after.ids_BC, before.ids_BC[:, :6])


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s["type"])
def test_round_trip(stage: dict[str, Any]) -> None:
    config = one(stage)
    assert validate(RerankConfig, config.model_dump(mode="json"), "f") == config
    assert RERANKERS.name_of(config.stages[0]) == stage["type"]


def test_wrap_gives_a_recommender_that_reranks() -> None:
    rng = np.random.default_rng(0)
    train = Sequences.from_lists([rng.permutation(N)[:6] for _ in range(30)])
    inner = Popularity.Options().build(ItemTable.of_size(N)).fit(train)
    config = validate(RerankConfig, {"stages": [CONTEXT, {"type": "xquad"}], "candidates": 15}, "f")
    wrapped = config.wrap(inner, traits(), "popular, but two of a brand")
    assert isinstance(wrapped, Recommender)
    assert wrapped.name == "popular, but two of a brand"
    ids = wrapped.recommend(train, 4).ids
    brands = traits().columns["brand"][ids]
    assert ((brands == "x").sum(1) <= 2).all()
    assert np.isin(ids, inner.recommend(train, 15).ids).all()


@pytest.mark.parametrize("name", ["OnlyEven", "OnlyMultiples"])
def test_a_class_from_outside_is_named_and_dumped_by_its_path(name: str) -> None:
    config = one({"type": f"{__name__}:{name}", "factor": 4})
    assert config.model_dump(mode="json")["stages"] == [{"type": f"{__name__}:{name}", "factor": 4}]
    wrapped = config.wrap(
        Popularity.Options().build(ItemTable.of_size(N)).fit(Sequences.from_lists([range(N)])),
        traits(),
        "even only",
    )
    assert wrapped.recommend(Sequences.from_lists([[]]), 8).ids.tolist() == [[0, 4, 8, 12, 16, -1, -1, -1]]
    assert validate(RerankConfig, config.model_dump(mode="json"), "f", trust_code=True) == config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"stages": [{"type": "xqad"}]}, "stages.0: unknown type 'xqad'; did you mean 'xquad'?"),
        ({"stages": [{"type": "xquad", "diversty": 1}]}, "unknown key 'diversty'; did you mean 'diversity'?"),
        ({"stages": [{"type": "calibrated", "diversity": 1.5}]}, "less than or equal to 1"),
        ({"stages": []}, "at least 1 item"),
        ({"stages": [CONTEXT], "candidates": 0}, "greater than or equal to 1"),
    ],
)
def test_errors_name_the_key_and_the_way_out(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(RerankConfig, content, "some.yaml")
    assert message in str(caught.value)


def test_traits_of_another_catalogue_are_refused() -> None:
    with pytest.raises(InputError, match="features of 20 items for a recommender of 7"):
        one(CONTEXT).wrap(Popularity.Options().build(ItemTable.of_size(7)), traits(), "wrong")


def test_the_table_of_rerankers_does_not_load_torch() -> None:
    code = "import sys, crossrec.rerank; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_stage_behind_a_greedy_one_must_go_by_the_order() -> None:
    greedy = {"type": "mmr", "diversity": 0.9}
    with pytest.raises(ConfigError, match=r"stages.1: 'mmr' before it .* give this stage relevance: rank"):
        validate(RerankConfig, {"stages": [greedy, {"type": "popularity"}]}, "test")
    by_order = {"type": "popularity", "relevance": "rank"}
    assert len(validate(RerankConfig, {"stages": [greedy, by_order]}, "test").stages) == 2
    assert len(validate(RerankConfig, {"stages": [{"type": "popularity"}, greedy]}, "test").stages) == 2
