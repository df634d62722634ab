"""A matched pair on a small shop: what it compares, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from crossrec.config import load_config, validate
from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.config import ComparisonConfig, MetricName
from crossrec.evaluation.results import Evaluation
from crossrec.experiment.compare import ComparisonRequest, run_comparison
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.recommender import NeuralRecommender
from crossrec.studies.large_model import (
    LargeModelConfig,
    confounded,
    confounders,
    differences,
    experiment_of,
    group_queries,
    measure_pair,
    run_large_model,
    train_pair,
)
from crossrec.studies.large_model_report import EVERYBODY, Effect, verdict
from crossrec.studies.statistics import measurable_metrics
from crossrec.studies.tradeoff.config import TradeoffConfig
from crossrec.studies.tradeoff.study import run_tradeoff
from crossrec.types import ConfigError, InputError, Sequences

scipy_sparse = pytest.importorskip("scipy.sparse")


@pytest.fixture(scope="module")
def pair(id_shop: dict[str, Any]) -> LargeModelConfig:
    """Two models by ids of different width, trained for two seeds."""
    folder = Path(id_shop["data"]["root"])
    (folder / "base.yaml").write_text(yaml.safe_dump(id_shop))
    config = LargeModelConfig(
        base=folder / "base.yaml",
        small=(),
        large=("model.width=32", "model.sequence.layers=1"),
        seeds=(0, 1),
        ks=(5, 10),
        metrics=("ndcg", "coverage", "gini", "ild_category", "ild"),
        n_bootstrap=50,
        out=folder / "out",
    )
    train_pair(config)
    return config


@pytest.fixture(scope="module")
def measured(pair: LargeModelConfig) -> list[Effect]:
    return measure_pair(pair, PreparedExperiment.of(experiment_of(pair, "small", 0)))


def test_differences_name_what_differs_and_nothing_else(pair: LargeModelConfig) -> None:
    assert differences(pair) == {"model.width": (16, 32), "model.sequence.layers": (2, 1)}


def test_what_differs_besides_the_sequence_model_is_named(pair: LargeModelConfig) -> None:
    assert confounders(pair) == {"model.width": (16, 32)}
    assert "model.width (16 and 32)" in confounded(pair)
    others = {"large": ("model.sequence.max_length=7", "trainer.epochs=9", "model.sequence.heads=1")}
    assert set(confounders(pair.model_copy(update=others))) == {"model.sequence.max_length", "trainer.epochs"}


def test_the_shipped_pair_differs_in_the_sequence_model_alone() -> None:
    root = Path(__file__).parents[2]
    shipped = load_config(LargeModelConfig, root / "configs" / "studies" / "large_model_movielens.yaml")
    base = root / "configs" / "movielens_small.yaml"
    shipped = shipped.model_copy(update={"base": base, "changes": ("data.root=anywhere",)})
    found = differences(shipped)
    assert found["model.sequence.type"] == ("sasrec", "llm")
    assert confounders(shipped) == {}
    assert confounded(shipped) == ""


def test_values_are_those_of_the_runs_own_evaluations(pair: LargeModelConfig, measured: list[Effect]) -> None:
    effects = {(e.group, e.metric, e.k): e for e in measured}
    assert {k for _, _, k in effects} == {5, 10}
    assert "ild" not in {metric for _, metric, _ in effects}, "there is no content space to measure it in"
    for metric in ("ndcg", "coverage", "gini", "ild_category"):
        effect = effects[EVERYBODY, metric, 10]
        means = {}
        for side in ("small", "large"):
            folders = [experiment_of(pair, side, seed).run_folder / "eval" / "test" for seed in pair.seeds]
            own = [Evaluation.load(folder).metrics[f"{metric}@10"] for folder in folders]
            means[side] = np.mean([one["value"] for one in own])
        assert effect.small == pytest.approx(means["small"])
        assert effect.large == pytest.approx(means["large"])
        assert effect.difference == pytest.approx(means["large"] - means["small"])
        assert effect.ci95[0] <= effect.difference <= effect.ci95[1]


def test_groups_share_out_the_users(measured: list[Effect]) -> None:
    ndcg = {e.group: e for e in measured if e.metric == "ndcg" and e.k == 5}
    for halves in (("few clicks", "many clicks"), ("niche taste", "mainstream taste")):
        sizes = [ndcg[half].n_users for half in halves]
        assert sum(sizes) == ndcg[EVERYBODY].n_users
        assert np.average([ndcg[half].large for half in halves], weights=sizes) == pytest.approx(
            ndcg[EVERYBODY].large
        )


def test_a_pair_with_another_loss_is_refused(pair: LargeModelConfig) -> None:
    unmatched = pair.model_copy(update={"large": ("objective.type=sampled_softmax",)})
    with pytest.raises(InputError, match=r"objective\.type.*changes"):
        train_pair(unmatched)


def test_groups_halve_the_users_by_clicks_and_by_taste() -> None:
    histories = Sequences.from_lists([[0], [0, 1, 2], [0, 0, 0, 3], [3, 4, 5]])
    queries = Queries(np.array([7, 8, 8, 9]), histories.lengths, Sequences.from_lists([[1]] * 4))
    counts = np.array([80, 4, 4, 4, 4, 4])
    facts = ItemTable(counts, scipy_sparse.csr_matrix((6, 0)), {}, {})
    groups = group_queries(queries, histories, facts, tail_share=0.2)
    found = {name: rows.tolist() for name, rows in groups.items()}
    assert found == {
        "all users": [0, 1, 2, 3],
        "few clicks": [0, 1, 2, 3],  # 1, 3 and 3 clicks: nobody is above the median
        "niche taste": [1, 2, 3],
        "mainstream taste": [0],
    }


def test_the_study_writes_a_page_with_every_group_and_length(pair: LargeModelConfig) -> None:
    run_large_model(pair)
    page = (pair.out / "large_model.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2 * 4, "a curve and a plot of groups for each of four measures"
    assert "Not a matched pair" in page
    for text in ("few clicks", "mainstream taste", "model.width (16 and 32)", "ild_category@10"):
        assert text in page
    effects = pl.read_parquet(pair.out / "effects.parquet")
    assert set(effects["k"]) == {5, 10}
    assert effects.filter(pl.col("low") > pl.col("high")).is_empty()


def effect(metric: MetricName, seeds: list[float], ci95: list[float]) -> Effect:
    return Effect(EVERYBODY, 9, metric, 10, 0.5, 0.5 + float(np.mean(seeds)), ci95, seeds)


@pytest.mark.parametrize(
    ("gini", "ild", "told"),
    [
        (effect("gini", [0.1], [0.05, 0.2]), effect("ild", [0.0], [-0.1, 0.1]), "less diverse in gini; not"),
        (
            effect("gini", [-0.1], [-0.2, -0.05]),
            effect("ild", [0.2], [0.1, 0.3]),
            "more diverse in gini, ild.",
        ),
        (
            effect("gini", [0.1, 0.3], [0.05, 0.2]),
            effect("ild", [0.5, -0.1], [0.1, 0.3]),
            "less diverse in gini; not settled in ild. Settled: the 95 % interval over users leaves out 0 "
            "and all 2 seeds agree in sign; not corrected for 2 measures.",
        ),
    ],
)
def test_the_verdict_knows_which_way_is_diverse_and_what_is_settled(
    gini: Effect, ild: Effect, told: str
) -> None:
    n_seeds = len(gini.seeds)
    others = [effect(m, [-0.1] * n_seeds, [-0.2, -0.1]) for m in ("ndcg", "tail_share", "serendipity")]
    found = verdict([gini, ild, *others], 10)
    assert told in found
    assert found.startswith("For these models, lists of 10")
    assert not any(other.metric in found for other in others)
    assert verdict(others, 10) == "No measure of diversity was compared."


def test_a_trained_run_of_another_configuration_is_not_taken_for_this_one(pair: LargeModelConfig) -> None:
    with pytest.raises(ConfigError, match=r"large\.0 holds a run with another configuration.*model\.width"):
        train_pair(pair.model_copy(update={"large": ("model.width=24", "model.sequence.layers=1")}))


def test_two_precisions_are_refused_before_anything_trains(pair: LargeModelConfig, tmp_path: Path) -> None:
    unlike = pair.model_copy(update={"large": (*pair.large, "trainer.precision=bf16"), "out": tmp_path})
    with pytest.raises(InputError, match=r"trainer\.precision.*'changes'"):
        train_pair(unlike)
    assert not list(tmp_path.iterdir())


def test_studies_refuse_a_launcher_s_processes_and_devices_that_are_not_here(
    pair: LargeModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="'gpu' can't be used here"):
        run_large_model(pair.model_copy(update={"device": "gpu"}))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="one process, but the launcher started 2"):
        run_large_model(pair)
    with pytest.raises(InputError, match="a trade-off study runs in one process"):
        run_tradeoff(TradeoffConfig(out=pair.out, runs={"a": (Path("a.0"),)}))
    with pytest.raises(InputError, match="crossrec compare runs in one process"):
        run_comparison(ComparisonRequest(["a.0"]), ComparisonConfig())


def test_models_rank_on_the_device_that_was_asked_for(
    pair: LargeModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.device] = []

    def refuse(recommender: NeuralRecommender, *rest: object) -> None:
        asked.extend({parameter.device for parameter in recommender.network.parameters()})
        raise KeyboardInterrupt

    monkeypatch.setattr("crossrec.studies.large_model.rank_queries", refuse)
    with pytest.raises(KeyboardInterrupt):
        measure_pair(
            pair.model_copy(update={"device": "meta"}), PreparedExperiment.of(experiment_of(pair, "small", 0))
        )
    assert asked == [torch.device("meta")]


def test_what_can_not_be_measured_is_logged(pair: LargeModelConfig, caplog: pytest.LogCaptureFixture) -> None:
    facts = PreparedExperiment.of(experiment_of(pair, "small", 0)).items
    assert measurable_metrics(("ndcg", "ild"), facts) == ("ndcg",)
    assert "ild is left out: no item vectors" in caplog.text
    with pytest.raises(InputError, match="'ild' can't be measured"):
        measurable_metrics(("ndcg", "ild"), facts, needed={"ild"})


@pytest.mark.parametrize("ks", [(), (0, 5)])
def test_lists_have_a_length(ks: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="ks"):
        validate(LargeModelConfig, {"base": "b.yaml", "out": "out", "ks": ks}, "test")
