"""Configurations of the baselines and the choice among them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from crossrec.baselines import BASELINES, BaselineOptions
from crossrec.baselines.als import ALS
from crossrec.baselines.base import TunableOptions
from crossrec.baselines.bpr import BPRMF
from crossrec.baselines.content import ContentBased
from crossrec.baselines.ease import EASE
from crossrec.baselines.feature_model import FeatureModel
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.neural.lightgcn import LightGCN
from crossrec.baselines.neural.ngcf import NGCF
from crossrec.baselines.neural.two_tower import TwoTower
from crossrec.baselines.neural.vbpr import VBPR
from crossrec.baselines.popularity import Popularity, RecentPopularity
from crossrec.baselines.tuning import TuningBudget, TuningTrial, tune
from crossrec.baselines.user_knn import UserKNN
from crossrec.config import Config, validate
from crossrec.data.item_table import ItemTable
from crossrec.runtime import distributed
from crossrec.types import ConfigError, Recommender, Sequences

TRAIN = Sequences.from_lists([[0, 1, 2], [0, 1], [3, 4, 5], [3, 4]])


class Holder(Config):
    baseline: BaselineOptions


@pytest.mark.parametrize("config", [Popularity.Options(), ItemKNN.Options(recency=0.5), ALS.Options(seed=3)])
def test_config_round_trip(config: BaselineOptions) -> None:
    held = Holder(baseline=config)
    assert Holder.model_validate(held.model_dump()) == held


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"type": "item_nn"}, "did you mean 'item_knn'"),
        ({"type": "als", "factor": 8}, "did you mean 'factors'"),
        ({"type": "item_knn", "recency": 0.0}, "greater than 0"),
        ({"type": "item_knn", "similarity": "jaccard"}, "'cosine', 'bm25', 'tfidf' or 'pearson'"),
    ],
)
def test_wrong_config_names_the_way_out(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(Holder, {"baseline": content}, "test.yaml")


@pytest.mark.parametrize("similarity", ["cosine", "bm25", "tfidf"])
def test_grid_is_valid_without_repeats_and_of_one_similarity(similarity: str) -> None:
    config = ItemKNN.Options.model_validate({"similarity": similarity})
    grid = config.grid()
    assert len(set(grid)) == len(grid) > 1
    assert {trial.similarity for trial in grid} == {similarity}
    assert all(ItemKNN.Options.model_validate(trial.model_dump()) == trial for trial in grid)


def test_als_grid_keeps_seed_and_iterations() -> None:
    grid = ALS.Options(seed=7, iterations=3).grid()
    assert len(set(grid)) == len(grid) == 36
    assert {(trial.seed, trial.iterations) for trial in grid} == {(7, 3)}


def test_tune_returns_the_best_and_all_trials() -> None:
    grid = [ALS.Options(factors=f, iterations=1) for f in (1, 2, 3, 4)]
    values = iter([0.1, 0.3, 0.3, 0.2])
    best, trials = tune(grid, ItemTable.of_size(6), TRAIN, lambda _: next(values))
    assert best == grid[1]
    assert [(t.config, t.value) for t in trials] == list(zip(grid, [0.1, 0.3, 0.3, 0.2], strict=True))


def test_tune_prefers_the_family_that_validation_prefers() -> None:
    histories, target = Sequences.from_lists([[3], [4]]), np.array([4, 3])

    def hits(recommender: Recommender) -> float:
        return float((recommender.recommend(histories, 1, histories).ids[:, 0] == target).mean())

    best, trials = tune(
        [Popularity.Options(), ItemKNN.Options(similarity="cosine")], ItemTable.of_size(6), TRAIN, hits
    )
    assert isinstance(best, ItemKNN.Options)
    assert [trial.value for trial in trials] == [0.0, 1.0]


@pytest.mark.parametrize(
    "config",
    [
        RecentPopularity.Options(),
        UserKNN.Options(similarity="pearson"),
        ContentBased.Options(space="bm25"),
        FeatureModel.Options(loss="squared"),
        BPRMF.Options(seed=1),
        EASE.Options(memory_gb=1),
        TwoTower.Options(modalities=("image",)),
        VBPR.Options(visual_width=5),
        NGCF.Options(width=7),
        LightGCN.Options(width=7),
    ],
    ids=BASELINES.name_of,
)
def test_every_grid_is_valid_without_repeats_and_round_trips(config: TunableOptions) -> None:
    grid = config.grid()
    assert len(set(grid)) == len(grid) > 1
    assert all(Holder.model_validate(Holder(baseline=t).model_dump()).baseline == t for t in grid)


def test_a_budget_draws_the_same_part_of_the_grid_by_seed() -> None:
    grid = ALS.Options().grid()
    first, again, other = (TuningBudget(trials=5, seed=s).choose(grid) for s in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 5
    assert set(first) <= set(grid)
    assert TuningBudget().choose(grid) == grid
    assert set(TuningBudget(trials=99).choose(grid)) == set(grid)


def test_tune_stops_beginning_settings_when_the_time_is_spent() -> None:
    grid = [ALS.Options(factors=f, iterations=1) for f in (1, 2, 3)]
    spent = [
        TuningTrial(grid[0], 0.2, seconds=50.0),
        TuningTrial(grid[1], 0.5, seconds=50.0),
        TuningTrial(grid[2], 0.1, 50.0),
    ]
    _, trials = tune(grid, ItemTable.of_size(6), TRAIN, lambda _: 0.0, TuningBudget(seconds=60), done=spent)
    assert len(trials) == 2
    _, trials = tune(grid, ItemTable.of_size(6), TRAIN, lambda _: 0.0, TuningBudget(seconds=1), done=spent)
    assert len(trials) == 1


def test_processes_stop_by_the_clock_of_the_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [ALS.Options(factors=f, iterations=1) for f in (1, 2, 3)]
    monkeypatch.setattr(distributed, "gather_objects", lambda seconds: [seconds, 70.0])
    _, trials = tune(grid, ItemTable.of_size(6), TRAIN, lambda _: 0.0, TuningBudget(seconds=60))
    assert len(trials) == 1


def test_tune_resumes_from_the_trials_that_were_kept() -> None:
    grid = [ALS.Options(factors=f, iterations=1) for f in (1, 2, 3)]
    kept: list[TuningTrial] = []
    values = iter([0.1, 0.3])
    with pytest.raises(StopIteration):
        tune(grid, ItemTable.of_size(6), TRAIN, lambda _: next(values), keep=kept.append)
    assert [trial.config for trial in kept] == grid[:2]
    best, trials = tune(grid, ItemTable.of_size(6), TRAIN, lambda _: 0.2, done=kept)
    assert [trial.value for trial in trials] == [0.1, 0.3, 0.2]
    assert best == grid[1]


def test_tune_refuses_an_empty_grid_and_a_nan() -> None:
    with pytest.raises(ValueError, match="the grid is empty"):
        tune([], ItemTable.of_size(6), TRAIN, lambda _: 0.0)
    with pytest.raises(ValueError, match=r"validation gave nan for \{'type': 'popularity'\}"):
        tune([Popularity.Options()], ItemTable.of_size(6), TRAIN, lambda _: float("nan"))


def test_importing_the_configs_stays_light() -> None:
    code = (
        "import sys, crossrec.baselines, crossrec.losses;"
        "sys.exit(bool({'torch', 'implicit', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
