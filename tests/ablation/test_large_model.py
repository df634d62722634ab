"""A matched pair on a small shop: what it compares, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from crossrec.ablation.large_model.config import LargeModelConfig
from crossrec.ablation.large_model.pair import Effect, differences, experiment_of, measure_pair, train_pair
from crossrec.ablation.large_model.study import run_large_model, verdict
from crossrec.ablation.large_model.user_groups import EVERYBODY, group_queries
from crossrec.data.splits import Queries
from crossrec.evaluation.facts import ItemFacts
from crossrec.evaluation.results import Evaluation
from crossrec.experiment.assembly import Setting
from crossrec.types import InputError, Sequences

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
    return measure_pair(pair, Setting.of(experiment_of(pair, "small", 0)))


def test_differences_name_what_differs_and_nothing_else(pair: LargeModelConfig) -> None:
    assert differences(pair) == {"model.width": (16, 32), "model.sequence.layers": (2, 1)}


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
    facts = ItemFacts(counts, scipy_sparse.csr_matrix((6, 0)), {}, {})
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
    for text in ("few clicks", "mainstream taste", "model.width", "ild_category@10"):
        assert text in page
    effects = pl.read_parquet(pair.out / "effects.parquet")
    assert set(effects["k"]) == {5, 10}
    assert effects.filter(pl.col("low") > pl.col("high")).is_empty()


@pytest.mark.parametrize(
    ("gini", "ild", "told"),
    [
        ((0.1, [0.05, 0.2]), (0.0, [-0.1, 0.1]), "less diverse in gini; not settled in ild"),
        ((-0.1, [-0.2, -0.05]), (0.2, [0.1, 0.3]), "more diverse in gini, ild."),
    ],
)
def test_the_verdict_knows_which_way_is_diverse(
    gini: tuple[float, list[float]], ild: tuple[float, list[float]], told: str
) -> None:
    effects = [
        Effect(EVERYBODY, 9, "gini", 10, 0.5, 0.5 + gini[0], *gini, float("nan")),
        Effect(EVERYBODY, 9, "ild", 10, 0.5, 0.5 + ild[0], *ild, float("nan")),
        Effect(EVERYBODY, 9, "ndcg", 10, 0.5, 0.4, -0.1, [-0.2, -0.1], float("nan")),
    ]
    assert told in verdict(effects, 10)
