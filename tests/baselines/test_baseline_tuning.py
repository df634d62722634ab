"""Configurations of the baselines and the choice among them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from crossrec.baselines import ALSConfig, BaselineConfig, ItemKNNConfig, PopularityConfig, tune
from crossrec.config import Config, ConfigError, validate
from crossrec.types import Recommender, Sequences

TRAIN = Sequences.from_lists([[0, 1, 2], [0, 1], [3, 4, 5], [3, 4]])


class Holder(Config):
    baseline: BaselineConfig


@pytest.mark.parametrize("config", [PopularityConfig(), ItemKNNConfig(recency=0.5), ALSConfig(seed=3)])
def test_config_round_trip(config: BaselineConfig) -> None:
    held = Holder(baseline=config)
    assert Holder.model_validate(held.model_dump()) == held


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"type": "item_nn"}, "did you mean 'item_knn'"),
        ({"type": "als", "factor": 8}, "did you mean 'factors'"),
        ({"type": "item_knn", "recency": 0.0}, "greater than 0"),
        ({"type": "item_knn", "similarity": "jaccard"}, "'cosine', 'bm25' or 'tfidf'"),
    ],
)
def test_wrong_config_names_the_way_out(content: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(Holder, {"baseline": content}, "test.yaml")


@pytest.mark.parametrize("similarity", ["cosine", "bm25", "tfidf"])
def test_grid_is_valid_without_repeats_and_of_one_similarity(similarity: str) -> None:
    config = ItemKNNConfig.model_validate({"similarity": similarity})
    grid = config.grid()
    assert len(set(grid)) == len(grid) > 1
    assert {trial.similarity for trial in grid} == {similarity}
    assert all(ItemKNNConfig.model_validate(trial.model_dump()) == trial for trial in grid)


def test_als_grid_keeps_seed_and_iterations() -> None:
    grid = ALSConfig(seed=7, iterations=3).grid()
    assert len(set(grid)) == len(grid) == 36
    assert {(trial.seed, trial.iterations) for trial in grid} == {(7, 3)}


def test_tune_returns_the_best_and_all_trials() -> None:
    grid = [ALSConfig(factors=f, iterations=1) for f in (1, 2, 3, 4)]
    values = iter([0.1, 0.3, 0.3, 0.2])
    best, trials = tune(grid, 6, TRAIN, lambda _: next(values))
    assert best == grid[1]
    assert [(t.config, t.value) for t in trials] == list(zip(grid, [0.1, 0.3, 0.3, 0.2], strict=True))


def test_tune_prefers_the_family_that_validation_prefers() -> None:
    histories, target = Sequences.from_lists([[3], [4]]), np.array([4, 3])

    def hits(recommender: Recommender) -> float:
        return float((recommender.recommend(histories, 1, histories).ids[:, 0] == target).mean())

    best, trials = tune([PopularityConfig(), ItemKNNConfig(similarity="cosine")], 6, TRAIN, hits)
    assert isinstance(best, ItemKNNConfig)
    assert [trial.value for trial in trials] == [0.0, 1.0]


def test_tune_refuses_an_empty_grid_and_a_nan() -> None:
    with pytest.raises(ValueError, match="the grid is empty"):
        tune([], 6, TRAIN, lambda _: 0.0)
    with pytest.raises(ValueError, match="validation gave nan for PopularityConfig"):
        tune([PopularityConfig()], 6, TRAIN, lambda _: float("nan"))


def test_importing_the_configs_stays_light() -> None:
    code = (
        "import sys, crossrec.baselines, crossrec.objectives;"
        "sys.exit(bool({'torch', 'implicit', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
