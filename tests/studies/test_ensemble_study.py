"""``crossrec ensemble``: finished runs and baselines, weights from validation, one look at test, files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from crossrec.cli.commands import main
from crossrec.config import validate
from crossrec.ensemble.recommender import Ensemble, EnsembleConfig
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.validation import validation_metrics
from crossrec.runtime.files import write_checksums
from crossrec.serving.training import run_training
from crossrec.studies.ensemble import EnsembleStudyConfig, choose, run_ensemble
from crossrec.studies.members import open_members
from crossrec.training.checkpoint import WEIGHTS
from crossrec.types import ConfigError, InputError

K = 10


@pytest.fixture(scope="module")
def runs(id_shop: dict[str, Any]) -> Path:
    """A trained run, and another whose weights are the same with noise; it has settings for item-kNN."""
    folder = Path(id_shop["runs_dir"])
    trainer = {**id_shop["trainer"], "epochs": 1}
    run_training(validate(ExperimentConfig, {**id_shop, "name": "small.0", "trainer": trainer}, "test"))
    shutil.copytree(folder / "small.0", folder / "small.1")
    weights = folder / "small.1" / "checkpoints" / "best" / WEIGHTS
    state = load_file(weights)
    generator = torch.Generator().manual_seed(0)
    learned = {name: value for name, value in state.items() if value.is_floating_point()}
    noise = {name: 0.2 * torch.randn(value.shape, generator=generator) for name, value in learned.items()}
    save_file({**state, **{name: value + noise[name] for name, value in learned.items()}}, weights)
    write_checksums(weights.parent)
    knn = {"config": {"type": "item_knn", "similarity": "cosine", "neighbours": 7}, "trials": []}
    (folder / "small.1" / "baselines.json").write_text(json.dumps([knn]))
    return folder


def study(runs: Path, out: Path, **changes: Any) -> EnsembleStudyConfig:
    content = {
        "members": [f"first={runs / 'small.0'}", str(runs / "small.1"), "item_knn", "popularity"],
        "out": out,
        "fusions": [{"type": "scores"}, {"type": "rrf"}],
        "learning": {"budget": 30, "cross_fits": 2},
        "candidates": 15,
        "comparison": {"n_bootstrap": 400, "n_permutations": 50},
    }
    return validate(EnsembleStudyConfig, {**content, **changes}, "test")


def test_a_study_writes_what_it_measured(runs: Path, tmp_path: Path) -> None:
    config = study(runs, tmp_path)
    found = run_ensemble(config)
    names = ["first", "small.1", "item-kNN cosine", "popularity"]
    assert list(found["weights"]) == names
    assert sum(found["weights"].values()) == pytest.approx(1)
    assert json.loads((tmp_path / "ensemble.json").read_text()) == found
    assert list(found["test"]) == ["ensemble", "equal weights", *names]
    saved = json.loads((tmp_path / "eval" / "test" / "metrics.json").read_text())
    assert saved["ndcg@10"]["value"] == found["test"]["ensemble"]["ndcg@10"]["value"]
    assert (tmp_path / "eval" / "test" / "baselines" / "small-1" / "per_user.parquet").exists()
    page = (tmp_path / "ensemble.html").read_text()
    assert all(name in page for name in names)
    assert found["verdict"] in page.replace("&#39;", "'")
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["candidates"] == 15
    # The settings of a baseline are those of the run that has some.
    (path,) = (tmp_path / "members").glob("item-knn-*/baselines.json")
    kept = json.loads(path.read_text())
    assert kept[0]["config"]["neighbours"] == 7
    chosen = max(found["trials"], key=lambda trial: trial["cross_fitted"])
    assert chosen["fusion"] == found["fusion"]
    compared = {e["system"]: e for e in found["comparison"]["entries"] if e["metric"] == "ndcg@10"}
    assert list(compared) == [found["best_member"], "ensemble"]
    assert compared["ensemble"]["value"] == pytest.approx(saved["ndcg@10"]["value"])


def test_learned_values_are_those_of_a_validation(runs: Path, tmp_path: Path) -> None:
    """The value under which weights were chosen is what evaluation says of the same ensemble."""
    config = study(runs, tmp_path, members=[str(runs / "small.0"), "popularity", "item_knn"])
    opened = open_members(config)
    choice = choose(opened.members, opened.prepared.data.split, config, exclude_seen=True)
    for fusion, learned in choice.trials:
        weights = dict(zip(opened.members, learned.weights_M, strict=True))
        ensemble = Ensemble(opened.members, weights, EnsembleConfig(fusion=fusion, candidates=15))
        value = validation_metrics(opened.prepared, ensemble)[f"ndcg@{K}"]
        assert value == pytest.approx(learned.value, abs=1e-9)
    for member, value in zip(opened.members.values(), choice.learned.member_values_M, strict=True):
        assert validation_metrics(opened.prepared, member)[f"ndcg@{K}"] == pytest.approx(value)
    assert choice.learned.best_member == choice.learned.member_values_M.argmax()
    assert choice.learned.value >= choice.learned.member_values_M.max()


def test_the_command_line_runs_it_and_names_what_is_wrong(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--budget", "5", "--cross-fits", "1", "--resamples", "400", "--fusions", "Borda"]
    run, out = str(runs / "small.0"), ["--out", str(tmp_path)]
    assert main(["ensemble", run, "popularity", *quick, *out]) == 0
    assert "ensemble" in capsys.readouterr().out
    assert main(["ensemble", str(runs / "nothing"), *out]) == 2
    assert "config.yaml" in capsys.readouterr().err
    assert main(["ensemble", "popularity", *out]) == 2
    assert "at least one run" in capsys.readouterr().err
    assert main(["ensemble", run, run, *out]) == 2
    assert "two members are called 'small.0'" in capsys.readouterr().err


def test_members_must_share_data_and_names(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    content = yaml.safe_load((runs / "small.0" / "config.yaml").read_text())
    content["evaluation"]["exclude_seen"] = False
    (other / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"differ in evaluation\.exclude_seen"):
        open_members(study(runs, tmp_path, members=[str(runs / "small.0"), str(other)]))
    with pytest.raises(InputError, match="it is repeated"):
        open_members(study(runs, tmp_path, members=[str(runs / "small.0"), "popularity", "popularity"]))
    with pytest.raises(InputError, match="different names"):
        open_members(study(runs, tmp_path, members=[f"ensemble={runs / 'small.0'}"]))
    with pytest.raises(ConfigError, match="an accuracy metric"):
        study(runs, tmp_path, metric="gini")


def test_settings_of_baselines_are_not_those_of_another_study(runs: Path, tmp_path: Path) -> None:
    members = [str(runs / "small.0"), "item_knn"]
    (fitted,) = list(open_members(study(runs, tmp_path, members=members)).members.values())[1:]
    budget = {"tune_baselines": True, "tuning": {"trials": 2}}
    other = tmp_path / "budgeted"
    shutil.copytree(runs / "small.0", other)
    content = yaml.safe_load((other / "config.yaml").read_text())
    (other / "config.yaml").write_text(yaml.safe_dump({**content, **budget}))
    tuned = study(runs, tmp_path, members=[str(other), "item_knn"], tune=True)
    open_members(tuned)
    kept = [json.loads(p.read_text())[0] for p in (tmp_path / "members").glob("item-knn-*/baselines.json")]
    assert fitted.name == "item-kNN BM25"
    assert sorted(len(entry["trials"]) for entry in kept) == [0, 2]


def test_of_several_settings_in_a_run_the_best_on_validation_is_taken(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "several"
    shutil.copytree(runs / "small.0", run)
    entries = [
        {"config": {"type": "item_knn", "neighbours": n}, "trials": [{"value": v} for v in values]}
        for n, values in [(3, []), (4, [0.1, 0.2]), (5, [0.3]), (6, [0.25])]
    ]
    (run / "baselines.json").write_text(json.dumps(entries))
    open_members(study(runs, tmp_path / "out", members=[str(run), "item_knn"]))
    (path,) = (tmp_path / "out" / "members").glob("item-knn-*/baselines.json")
    assert json.loads(path.read_text())[0]["config"]["neighbours"] == 5


def test_one_member_is_its_own_ensemble(runs: Path, tmp_path: Path) -> None:
    config = study(runs, tmp_path, members=[str(runs / "small.1")])
    opened = open_members(config)
    choice = choose(opened.members, opened.prepared.data.split, config, exclude_seen=True)
    assert choice.learned.weights_M.tolist() == [1.0]
    assert choice.learned.cross_fitted == choice.learned.best_member_cross_fitted
