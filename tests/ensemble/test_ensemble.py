"""Ensembles are recommenders: the contract of all, and what is their own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.baselines.als import ALS
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.ensemble import ListFusionOptions
from crossrec.ensemble import recommender as module
from crossrec.ensemble.list_fusion import ALL_FUSIONS
from crossrec.ensemble.recommender import Ensemble, EnsembleConfig
from crossrec.types import ABSENT, InputError, Recommender, Sequences

N = 30
MEMBERS = {
    "knn": ItemKNN.Options(similarity="cosine", neighbours=8),
    "als": ALS.Options(factors=4, iterations=5, regularization=0.1, alpha=5.0),
    "popularity": Popularity.Options(),
}
SETTINGS = [EnsembleConfig(fusion=f, candidates=c) for f in ALL_FUSIONS for c in (8, None)]
IDS = [f"{c.fusion.label}-{c.candidates}" for c in SETTINGS]


def clicks(seed: int = 0, users: int = 60) -> Sequences:
    """Users of two tastes: even or odd items below N - 2; the last two items stay unclicked."""
    rng = np.random.default_rng(seed)
    return Sequences.from_lists(
        2 * rng.integers(0, (N - 2) // 2, size=rng.integers(3, 9)) + user % 2 for user in range(users)
    )


@pytest.fixture(scope="module")
def fitted() -> dict[str, Recommender]:
    return {name: config.build(ItemTable.of_size(N)).fit(clicks()) for name, config in MEMBERS.items()}


@pytest.fixture(params=SETTINGS, ids=IDS)
def config(request: pytest.FixtureRequest) -> EnsembleConfig:
    return request.param


def histories() -> Sequences:
    return Sequences.from_lists([[0, 2, 4], [], [29], [5, 5, 7], [1]])


def test_satisfies_the_protocol_and_says_what_it_is(config: EnsembleConfig) -> None:
    ensemble = Ensemble({n: c.build(ItemTable.of_size(N)) for n, c in MEMBERS.items()}, config=config)
    assert isinstance(ensemble, Recommender)
    assert ensemble.n_items == N
    assert ensemble.fit(clicks()) is ensemble
    assert ensemble.recommend(histories(), 3).ids.shape == (5, 3)
    weighted = Ensemble(ensemble.members, {"knn": 3, "als": 1, "popularity": 0}, config)
    assert "0.75 knn + 0.25 als (" in weighted.description
    assert config.fusion.label in weighted.description
    assert weighted.name == weighted.description


def test_scores_have_the_contract_shape_and_candidates_agree(
    fitted: dict[str, Recommender], config: EnsembleConfig
) -> None:
    ensemble = Ensemble(fitted, config=config)
    scores_BN = ensemble.score(histories())
    assert scores_BN.shape == (5, N)
    assert scores_BN.dtype == torch.float32
    assert not scores_BN.isnan().any()
    candidates = np.array([[3, 0], [1, 1], [29, ABSENT], [ABSENT, 9], [2, 3]])
    expected = scores_BN.gather(1, torch.from_numpy(candidates.clip(0)))
    expected[torch.from_numpy(candidates == ABSENT)] = -torch.inf
    assert torch.equal(ensemble.score(histories(), candidates), expected)
    with pytest.raises(ValueError, match=r"candidates\[0, 1\] is 30"):
        ensemble.score(Sequences.from_lists([[0]]), np.array([[0, 30]]))


def test_excluded_items_never_appear_and_rows_are_independent(
    fitted: dict[str, Recommender], config: EnsembleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble, asked = Ensemble(fitted, config=config), clicks(seed=1, users=12)
    found = ensemble.recommend(asked, 10, exclude=asked)
    for row in range(len(asked)):
        listed = found.ids[row][found.ids[row] != ABSENT]
        assert not set(listed) & set(asked.row(row))
        assert len(set(listed)) == len(listed)
        alone = asked.take(np.array([row]))
        np.testing.assert_array_equal(ensemble.recommend(alone, 10, alone).ids[0], found.ids[row])
    monkeypatch.setattr(module, "MOST_ROWS", 5)
    np.testing.assert_array_equal(ensemble.recommend(asked, 10, exclude=asked).ids, found.ids)


def test_scores_are_those_of_the_lists(fitted: dict[str, Recommender], config: EnsembleConfig) -> None:
    ensemble = Ensemble(fitted, config=config)
    found, scores_BN = ensemble.recommend(histories(), 8), ensemble.score(histories())
    for row in range(5):
        listed = found.ids[row][found.ids[row] != ABSENT]
        np.testing.assert_array_equal(scores_BN[row].numpy()[listed], found.scores[row, : len(listed)])


@pytest.mark.parametrize("member", MEMBERS)
def test_an_ensemble_of_one_is_that_member(
    fitted: dict[str, Recommender], config: EnsembleConfig, member: str
) -> None:
    ensemble, asked = Ensemble({member: fitted[member]}, config=config), clicks(seed=4, users=20)
    for k in (5, 12):
        found, own = ensemble.recommend(asked, k, asked), fitted[member].recommend(asked, k, asked)
        np.testing.assert_array_equal(found.ids, own.ids)
    empty = histories()
    np.testing.assert_array_equal(ensemble.recommend(empty, 5).ids, fitted[member].recommend(empty, 5).ids)


def test_a_weight_of_0_leaves_a_member_out(fitted: dict[str, Recommender], config: EnsembleConfig) -> None:
    asked = clicks(seed=5, users=20)
    without = Ensemble({n: fitted[n] for n in ("knn", "als")}, {"knn": 0.3, "als": 0.7}, config)
    zero = Ensemble(fitted, {"knn": 0.3, "als": 0.7, "popularity": 0.0}, config)
    first, second = without.recommend(asked, 6, asked), zero.recommend(asked, 6, asked)
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert torch.equal(without.score(asked), zero.score(asked))


@pytest.mark.parametrize("fusion", ALL_FUSIONS, ids=lambda fusion: fusion.label)
def test_as_many_candidates_as_items_are_the_whole_catalogue(
    fitted: dict[str, Recommender], fusion: ListFusionOptions
) -> None:
    asked = clicks(seed=6, users=20)
    some = Ensemble(fitted, config=EnsembleConfig(fusion=fusion, candidates=N))
    everything = Ensemble(fitted, config=EnsembleConfig(fusion=fusion, candidates=None))
    first, second = some.recommend(asked, 9, asked), everything.recommend(asked, 9, asked)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-6)
    np.testing.assert_array_equal(first.ids, second.ids)


def test_a_member_that_refuses_an_item_may_be_overruled_or_not(fitted: dict[str, Recommender]) -> None:
    pair = {name: fitted[name] for name in ("knn", "popularity")}
    asked = Sequences.from_lists([[0], [1, 3]])
    refused = ~fitted["knn"].score(asked).isfinite().numpy()
    overruled = Ensemble(pair, config=EnsembleConfig(candidates=20)).recommend(asked, 15)
    vetoed = Ensemble(pair, config=EnsembleConfig(candidates=20, missing="veto")).recommend(asked, 15)
    for row in range(2):
        assert refused[row, overruled.ids[row]].any()
        kept = vetoed.ids[row][vetoed.ids[row] != ABSENT]
        assert not refused[row, kept].any()
        assert len(kept) == (~refused[row]).sum()


def test_wrong_members_and_weights_are_named(fitted: dict[str, Recommender]) -> None:
    with pytest.raises(InputError, match="at least one member"):
        Ensemble({})
    with pytest.raises(InputError, match="share one catalogue"):
        Ensemble({**fitted, "other": Popularity.Options().build(ItemTable.of_size(N + 1))})
    with pytest.raises(InputError, match="weights are for"):
        Ensemble(fitted, {"knn": 1})
    for wrong in (-0.1, float("nan")):
        with pytest.raises(InputError, match="the weight of 'als'"):
            Ensemble(fitted, {"knn": 1, "als": wrong, "popularity": 0})
    with pytest.raises(InputError, match="all weights are 0"):
        Ensemble(fitted, dict.fromkeys(fitted, 0.0))
