"""Learning weights: a value is that of the ensemble's lists, a planted member is found, honestly judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossrec.ensemble import ListFusionOptions
from crossrec.ensemble.candidates import union_of_lists
from crossrec.ensemble.learning import LearningConfig, WeightObjective, answered, learn_weights, weightings
from crossrec.ensemble.list_fusion import ALL_FUSIONS
from crossrec.ensemble.recommender import Ensemble, EnsembleConfig
from crossrec.evaluation.matching import distinct, match_targets
from crossrec.evaluation.metrics.accuracy import ndcg
from crossrec.evaluation.slices import UserGroups
from crossrec.runtime.ranking import recommend_by_score
from crossrec.types import ABSENT, Sequences, TopK

N, QUERIES, K = 40, 300, 5


class Table:
    """A recommender that knows the scores of histories by their only click, which is their number."""

    def __init__(self, scores_QN: torch.Tensor) -> None:
        self.scores_QN = scores_QN.float()

    @property
    def n_items(self) -> int:
        return N

    def fit(self, train: Sequences) -> Table:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        scores_BN = self.scores_QN[torch.from_numpy(np.asarray(histories.items))].clone()
        return scores_BN if candidates is None else scores_BN.gather(1, torch.from_numpy(candidates))

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        return recommend_by_score(self, histories, k, exclude)


class Planted:
    """Queries with targets, a member that half knows them, one that knows other halves, and noise."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.histories = Sequences.from_lists([[query] for query in range(QUERIES)])
        self.targets = Sequences.from_lists(rng.permutation(N)[: rng.integers(0, 4)] for _ in range(QUERIES))
        self.users = rng.integers(0, 80, QUERIES)
        truth = np.zeros((QUERIES, N))
        truth[np.repeat(np.arange(QUERIES), self.targets.lengths), self.targets.items] = 1
        first = rng.random(QUERIES)[:, None] < 0.5
        noise = rng.normal(size=(4, QUERIES, N))
        self.members = {
            "good": Table(torch.from_numpy(2 * truth + noise[0])),
            "noise": Table(torch.from_numpy(noise[1])),
            "left": Table(torch.from_numpy(3 * truth * first + noise[2])),
            "right": Table(torch.from_numpy(3 * truth * ~first + noise[3])),
        }

    def evidence(self, names: list[str], fusion: ListFusionOptions, places: int = 12) -> WeightObjective:
        members = [self.members[name] for name in names]
        parts = []
        for rows in np.array_split(np.arange(QUERIES), 3):
            found = union_of_lists(
                members, self.histories.take(rows), None, places, ask_beyond=fusion.scores_unlisted
            )
            parts.append(answered(found, self.targets.take(rows), int(rows[0])))
        counts = distinct(self.targets, N).lengths
        return WeightObjective(parts, fusion.build(places), "lowest", self.users, counts, len(names))


def value_of(planted: Planted, lists: TopK) -> float:
    """The mean over users of each user's mean ndcg, by the evaluation's own code."""
    ranked = match_targets(lists.ids, planted.targets, planted.histories, N)
    per_user = UserGroups.of(planted.users).mean(ndcg(ranked.hits_QK, ranked.n_targets_Q, K))
    return float(np.nanmean(per_user))


@pytest.mark.parametrize("fusion", ALL_FUSIONS, ids=lambda fusion: fusion.label)
def test_a_weightings_value_is_that_of_the_ensembles_lists(fusion: ListFusionOptions) -> None:
    planted, names = Planted(), ["good", "noise", "left"]
    weights_WM = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    found_W = planted.evidence(names, fusion).user_values(weights_WM, ndcg, K).mean(1)
    for weights, found in zip(weights_WM, found_W, strict=True):
        ensemble = Ensemble(
            {name: planted.members[name] for name in names},
            dict(zip(names, weights, strict=True)),
            EnsembleConfig(fusion=fusion, candidates=12),
        )
        assert found == pytest.approx(value_of(planted, ensemble.recommend(planted.histories, K)), abs=1e-12)


@pytest.mark.parametrize("fusion", ALL_FUSIONS, ids=lambda fusion: fusion.label)
def test_a_planted_good_member_is_found_and_noise_is_not(fusion: ListFusionOptions) -> None:
    learned = learn_weights(
        Planted().evidence(["noise", "good"], fusion), ndcg, LearningConfig(k=K, budget=60)
    )
    assert learned.weights_M[1] > 0.85
    assert learned.best_member == 1


def test_members_that_know_different_things_are_combined() -> None:
    learned = learn_weights(
        Planted().evidence(["left", "noise", "right"], ALL_FUSIONS[0]), ndcg, LearningConfig(k=K, budget=120)
    )
    left, noise, right = learned.weights_M
    assert min(left, right) > 0.15
    assert noise < 0.2
    assert learned.value > 1.02 * learned.member_values_M.max()
    assert learned.cross_fitted > 1.02 * learned.best_member_cross_fitted
    assert learned.cross_fitted <= learned.value


def test_noise_alone_is_judged_lower_by_users_that_were_not_learned_from() -> None:
    rng = np.random.default_rng(3)
    planted = Planted()
    planted.members = {f"n{i}": Table(torch.from_numpy(rng.normal(size=(QUERIES, N)))) for i in range(4)}
    learned = learn_weights(
        planted.evidence(list(planted.members), ALL_FUSIONS[0]),
        ndcg,
        LearningConfig(k=K, budget=100, cross_fits=20),
    )
    assert learned.cross_fitted < learned.value - 0.01


def test_the_same_seed_learns_the_same() -> None:
    evidence = Planted().evidence(["good", "left", "right"], ALL_FUSIONS[0])
    first, again, other = (
        learn_weights(evidence, ndcg, LearningConfig(k=K, budget=40, seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.weights_M, again.weights_M)
    assert first.cross_fitted == again.cross_fitted != other.cross_fitted


@given(n_members=st.integers(1, 7), budget=st.integers(2, 300), seed=st.integers(0, 5))
def test_weightings_fill_the_budget_with_distinct_points_members_first(
    n_members: int, budget: int, seed: int
) -> None:
    points = weightings(n_members, budget, seed)
    np.testing.assert_array_equal(points[:n_members], np.eye(n_members))
    np.testing.assert_allclose(points.sum(1), 1)
    assert (points >= 0).all()
    assert len(np.unique(points, axis=0)) == len(points)
    if n_members > 1:
        assert len(points) == max(budget, n_members)
    used = (points > 0).sum(1)
    assert (np.diff(used) >= 0).all()


def test_a_part_without_targets_can_not_teach() -> None:
    with pytest.raises(ValueError, match="no query has a target"):
        WeightObjective([], ALL_FUSIONS[0].build(5), "lowest", np.arange(3), np.zeros(3, int), 2)


def test_one_repeat_has_no_spread_and_candidates_without_targets_are_worth_nothing() -> None:
    planted = Planted()
    planted.members = {"none": Table(torch.full((QUERIES, N), -math.inf))}
    evidence = planted.evidence(["none"], ALL_FUSIONS[0])
    learned = learn_weights(evidence, ndcg, LearningConfig(k=K, cross_fits=1))
    assert learned.value == 0
    assert math.isnan(learned.cross_fitted_sd)
    assert (planted.members["none"].recommend(planted.histories, 3).ids == ABSENT).all()
