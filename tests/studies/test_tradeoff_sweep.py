"""A sweep over a small made-up study: neutral points, going on after a kill, and runs that don't fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
import yaml
from scipy.sparse import csr_matrix

from crossrec.config import validate
from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.experiment.config import ExperimentConfig
from crossrec.studies.tradeoff.config import TradeoffConfig, TradeoffPoint, all_variants, members
from crossrec.studies.tradeoff.fronts import choose
from crossrec.studies.tradeoff.report import write_report
from crossrec.studies.tradeoff.runs import PointStore, SplitQueries, Study, TrainedRun, open_study
from crossrec.studies.tradeoff.study import summarise
from crossrec.studies.tradeoff.sweep import PointTable, sweep
from crossrec.training.checkpoint import WEIGHTS
from crossrec.types import InputError, Sequences, TopK

N_ITEMS, N_QUERIES, CANDIDATES, K = 40, 30, 12, 4


def tradeoff(out: Path, **changes: Any) -> TradeoffConfig:
    content = {
        "out": str(out),
        "runs": ["a.0", "a.1"],
        "rerankers": {"rare": {"stages": [{"type": "popularity"}], "candidates": CANDIDATES}},
        "grid": [0, 0.5, 1],
        "k": K,
        "diversity": ["coverage"],
        "goals": {"coverage": {"budget": 0.05, "gains": {"coverage": 0.1}}},
        "metrics": ["gini", "ild_category"],
        "n_bootstrap": 20,
    }
    return validate(TradeoffConfig, {**content, **changes}, "test")


@dataclass
class MadeUpRun:
    """Random lists, and how often they were asked for."""

    digest: str
    lists: TopK
    items: ItemTable
    config: ExperimentConfig
    asked: list[str] = field(default_factory=list)

    def candidates(self, part: SplitQueries, width: int) -> TopK:
        self.asked.append(part.name)
        return TopK(self.lists.ids[:, :width], self.lists.scores[:, :width])

    def release(self) -> None:
        """Holds nothing."""


def made_up(config: TradeoffConfig) -> tuple[Study, list[MadeUpRun]]:
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 50, N_ITEMS)
    categories = csr_matrix((rng.uniform(size=(N_ITEMS, 5)) < 0.4).astype(np.float32))
    traits = ItemTable(counts, torch.from_numpy(categories.toarray()))
    users, empty = np.arange(N_QUERIES), Sequences.from_lists([[] for _ in range(N_QUERIES)])
    runs = []
    targets = Sequences.from_lists([[int(rng.integers(N_ITEMS))] for _ in users])
    for seed in range(2):
        ids = np.stack([rng.permutation(N_ITEMS)[:CANDIDATES] for _ in users])
        ids[:20, 0] = targets.items[:20]  # some hits; a target that stood further down is moved up
        for row in range(20):
            again = np.flatnonzero(ids[row, 1:] == ids[row, 0]) + 1
            ids[row, again] = next(i for i in range(N_ITEMS) if i not in ids[row])
        scores = -np.sort(-rng.normal(size=ids.shape).astype(np.float32), axis=1)
        run_config = ExperimentConfig(name=f"a.{seed}", seed=seed)
        runs.append(MadeUpRun(f"digest {seed}", TopK(ids, scores), traits, run_config))
    queries = Queries(users, np.zeros(N_QUERIES, np.int64), targets)
    shared = SimpleNamespace(
        items=ItemTable(counts, categories),
        config=ExperimentConfig(),
        data=SimpleNamespace(
            catalog=range(N_ITEMS),
            split=SimpleNamespace(protocol="made up"),
            identity=SimpleNamespace(key="made up"),
        ),
    )
    study = Study(config, cast("Any", shared), {"model": cast("list[TrainedRun]", runs)}, torch.device("cpu"))
    study.__dict__["parts"] = {name: SplitQueries(name, queries, empty) for name in ("valid", "test")}
    return study, runs


def run_sweep(
    study: Study, store: PointStore, *, intervals: bool = False
) -> tuple[list[TradeoffPoint], PointTable]:
    variants = all_variants(study.config)
    part: Literal["valid", "test"] = "test" if intervals else "valid"
    table, _ = sweep(
        study, variants, range(len(variants)), part, store, lambda label: None, intervals=intervals
    )
    return variants, table


def test_diversity_0_is_the_unreranked_model_and_1_is_not(tmp_path: Path) -> None:
    study, _ = made_up(tradeoff(tmp_path))
    variants, table = run_sweep(study, PointStore(tmp_path))
    assert [v.strength for v in variants] == ["", "0", "0.5", "1"]
    for values_VS in table.values.values():
        np.testing.assert_array_equal(values_VS[0], values_VS[1])
    assert (table.values["ndcg"][3] != table.values["ndcg"][0]).all()


def test_a_killed_sweep_measures_only_what_is_missing(tmp_path: Path) -> None:
    study, _ = made_up(tradeoff(tmp_path))
    store, done = PointStore(tmp_path), []

    def kill(label: str) -> None:
        done.append(label)
        if len(done) == 5:
            raise KeyboardInterrupt

    variants = all_variants(study.config)
    with pytest.raises(KeyboardInterrupt):
        sweep(study, variants, range(4), "valid", store, kill, intervals=False)
    study, runs = made_up(tradeoff(tmp_path))
    _, resumed = run_sweep(study, PointStore(tmp_path))
    # Of 2 runs x 4 points, 5 were there: all of the first run's and one of the second's.
    assert [len(run.asked) for run in runs] == [0, 3]
    fresh_study, _ = made_up(tradeoff(tmp_path))
    _, fresh = run_sweep(fresh_study, PointStore(tmp_path / "fresh"))
    for metric, values_VS in fresh.values.items():
        np.testing.assert_array_equal(resumed.values[metric], values_VS)


def test_changed_weights_or_settings_are_measured_again(tmp_path: Path) -> None:
    study, _ = made_up(tradeoff(tmp_path))
    run_sweep(study, PointStore(tmp_path))
    study, runs = made_up(tradeoff(tmp_path))
    runs[0].digest = "other weights"
    run_sweep(study, PointStore(tmp_path))
    assert [len(run.asked) for run in runs] == [4, 0]
    study, runs = made_up(tradeoff(tmp_path, k=K - 1))
    run_sweep(study, PointStore(tmp_path))
    assert [len(run.asked) for run in runs] == [4, 4]


def test_the_whole_report_is_written_from_a_sweep(tmp_path: Path) -> None:
    config = tradeoff(tmp_path)
    study, _ = made_up(config)
    variants, valid = run_sweep(study, PointStore(tmp_path))
    _, test = run_sweep(study, PointStore(tmp_path), intervals=True)
    methods = {name: members(m, variants) for name, m in config.all_methods.items()}
    chosen = choose(config, valid, methods)
    found = summarise(config, valid, test, chosen, methods)
    about = {"data": "<made up>", "note": "", "protocol": "none", "runs": {"model": ["a.0", "a.1"]}}
    write_report(tmp_path / "t.html", config, {**about, **found}, valid, test, chosen, methods, "k: 4")
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert "&lt;made up&gt;" in page
    assert page.count("<svg") == 2
    assert "http-equiv" not in page
    assert "src=" not in page
    picked = found["goals"][0]["picks"]["rare"]
    low, high = picked["test"]["coverage"]["gain_ci95_users"]
    assert low <= picked["test"]["coverage"]["gain"] <= high
    assert found["reference"]["test"]["coverage"]["ci95_users"][1] <= 1 == test.upper["coverage"]
    assert found["reference"]["test"]["ndcg"]["gain_ci95_users"] == [0.0, 0.0]


def test_runs_that_can_not_be_compared_are_refused(tmp_path: Path) -> None:
    def run(name: str, **changes: Any) -> str:
        content = ExperimentConfig().model_dump(mode="json")
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump({**content, **changes}))
        return str(tmp_path / name)

    data = ExperimentConfig().data.model_dump(mode="json")
    other_data = {**data, "cleaning": {**data["cleaning"], "k_users": 7}}
    first, more, elsewhere = run("a.0"), run("a.1", seed=1), run("b.0", data=other_data)
    cached = run("c.0", data={**data, "cache_dir": "elsewhere"})
    with pytest.raises(InputError, match=r"b\.0 and .*a\.0 differ in data"):
        open_study(tradeoff(tmp_path, runs=[first, elsewhere]))
    with pytest.raises(InputError, match=r"has seed 1, but .* has seed 0"):
        open_study(tradeoff(tmp_path, runs={"a": [first], "b": [more]}))
    with pytest.raises(InputError, match="no trained weights"):
        open_study(tradeoff(tmp_path, runs=[first, cached]))
    with pytest.raises(InputError, match=r"runs\.model: .*a\.0 and .*a\.0 are the same folder"):
        open_study(tradeoff(tmp_path, runs=[first, f"{tmp_path}/b.0/../a.0"]))
    for name in ("a.0", "a.1"):
        (tmp_path / name / "checkpoints" / "best").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "best" / WEIGHTS).write_bytes(b"the same")
    with pytest.raises(InputError, match=r"a\.0 and .*a\.1 are folders with the same weights"):
        open_study(tradeoff(tmp_path, runs=[first, more]))
    with pytest.raises(InputError, match="holds no run"):
        open_study(tradeoff(tmp_path, runs=[str(tmp_path / "nowhere")]))
