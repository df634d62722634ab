"""Runs with augmentation: what they say and leave; evaluation sees none of it, and leaks are caught."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crossrec.augment.guard import DataLeakageError
from crossrec.config import validate
from crossrec.data.segments import ClusterAssignment, cluster_items
from crossrec.data.splits.base import Queries, Split
from crossrec.experiment.augmentation import check_augmentation
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender, run_evaluation
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import item_group_slices
from crossrec.experiment.run_folder import CONFIG_FILE, DATA_FILE, check_run
from crossrec.experiment.train import train_network
from crossrec.model.recommender import NeuralRecommender
from crossrec.serving.training import run_training
from crossrec.training.parallel import build_accelerator
from crossrec.types import ConfigError, InputError, Sequences, TopK

AUGMENT = {
    "sequence": {"augmenters": [{"type": "crop"}, {"type": "substitute"}], "copies": 0.5},
    "resample": {"activity": 0.5, "segment": 0.3},
}
CONTRASTIVE = {"terms": {"views": {"type": "sequence_views"}}}
SEGMENTS = {"users": 3, "items": 4}


def experiment(id_shop: dict[str, Any], **changes: Any) -> ExperimentConfig:
    return validate(ExperimentConfig, {**id_shop, **changes}, "test")


@pytest.fixture(scope="module")
def config(id_shop: dict[str, Any]) -> ExperimentConfig:
    return experiment(id_shop, name="augmented", augment=AUGMENT, contrastive=CONTRASTIVE, segments=SEGMENTS)


@pytest.fixture(scope="module")
def folder(config: ExperimentConfig) -> Path:
    run_training(config)
    return config.run_folder


def test_counts_stand_beside_those_of_the_data(folder: Path) -> None:
    found = json.loads((folder / DATA_FILE).read_text())
    assert found["counts"]["users"] == 60
    rows = found["augmentation"]["rows"]
    assert rows["augmented"] > 0
    assert rows["own_clicks"] == pytest.approx(found["counts"]["train_clicks"], rel=0.2)
    assert found["augmentation"]["resample"]["by"] == ["activity 0.5", "segment 0.3"]
    assert sum(segment["users"] for segment in found["user_segments"]) == 60


def test_segments_are_slices_of_the_results(folder: Path) -> None:
    metrics = json.loads((folder / "eval" / "test" / "metrics.json").read_text())
    slices = {n: s for n, s in metrics["slices"].items() if n.startswith("user_segment")}
    assert sum(s["n_users"] for s in slices.values()) == metrics["n_users"]
    weighted = sum(s["ndcg@10"]["value"] * s["n_users"] for s in slices.values() if s["n_users"])
    assert weighted / metrics["n_users"] == pytest.approx(metrics["ndcg@10"]["value"])
    page = (folder / "eval" / "test" / "report.html").read_text(encoding="utf-8")
    assert slices["user_segment_1"]["note"].split(",")[0] in page


def test_item_groups_are_slices_of_the_results(config: ExperimentConfig, folder: Path) -> None:
    metrics = json.loads((folder / "eval" / "test" / "metrics.json").read_text())
    slices = [s for name, s in metrics["slices"].items() if name.startswith("item_group_")]
    assert config.segments is not None
    prepared = PreparedExperiment.of(config)
    groups, targets = cluster_items(prepared.data, config.segments), prepared.data.split.test.targets
    # One target a query: each is in the slice of its group.
    sizes = np.bincount(groups.labels[targets.items], minlength=4)
    assert [s["n_queries"] for s in slices] == sizes.tolist()
    weighted = sum(s["ndcg@10"]["value"] * s["n_users"] for s in slices if s["n_users"])
    assert weighted / metrics["n_users"] == pytest.approx(metrics["ndcg@10"]["value"])


def test_item_group_slices_take_the_targets_of_their_group(id_shop: dict[str, Any]) -> None:
    prepared = PreparedExperiment.of(experiment(id_shop, name="slices"))
    split = prepared.data.split
    targets = Sequences.from_lists([[0, 1, 2], [3, 1], [4]])
    queries = Queries(split.test.users[:3], split.test.ends[:3], targets)
    labels = np.full(split.n_items, -1)
    labels[[0, 2, 4]], labels[[1]] = 0, 1
    lists = TopK(np.array([[0, 9, 2], [1, 3, 9], [9, 8, 7]]), np.zeros((3, 3), np.float32))
    found = item_group_slices(prepared, ClusterAssignment(labels, ("even", "one")), lists, queries)
    assert {name: part["n_queries"] for name, part in found.items()} == {"item_group_1": 2, "item_group_2": 2}
    assert found["item_group_1"]["recall@10"]["value"] == pytest.approx((1 + 0) / 2)
    assert found["item_group_2"]["recall@10"]["value"] == pytest.approx((0 + 1) / 2)
    assert found["item_group_2"]["note"] == "one; other targets count as misses"


def test_the_contrastive_loss_is_logged(folder: Path) -> None:
    steps = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert all(line["views"] > 0 for line in steps if line["kind"] == "step")


def test_evaluation_is_that_of_the_weights_alone(config: ExperimentConfig, folder: Path) -> None:
    before = (folder / "eval" / "test" / "metrics.json").read_text()
    run_evaluation(config, "test", None)
    assert (folder / "eval" / "test" / "metrics.json").read_text() == before
    plain = PreparedExperiment.of(config.model_copy(update={"augment": None, "contrastive": None}))
    queries = plain.data.split.histories(plain.data.split.test)
    scores = load_recommender(plain).score(queries)
    assert np.array_equal(scores, load_recommender(PreparedExperiment.of(config)).score(queries))


def test_the_same_seed_gives_the_same_run(config: ExperimentConfig, folder: Path) -> None:
    again = config.model_copy(update={"name": "again"})
    run_training(again)

    def losses(run: Path) -> list[float]:
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if line["kind"] == "step"]

    assert losses(again.run_folder) == losses(folder)


def test_a_run_from_before_augmentation_still_evaluates(id_shop: dict[str, Any]) -> None:
    config = experiment(id_shop, name="old")
    run_training(config)
    path = config.run_folder / CONFIG_FILE
    content = yaml.safe_load(path.read_text())
    for key in ("augment", "contrastive", "segments"):
        assert content.pop(key) is None
    path.write_text(yaml.safe_dump(content))
    check_run(config)
    run_evaluation(config, "valid", None)
    assert (config.run_folder / "eval" / "valid" / "metrics.json").exists()
    assert "augmentation" not in json.loads((config.run_folder / DATA_FILE).read_text())


def leaking(split: Split) -> Split:
    """The first user's validation target becomes a training click."""
    ends = split.train_ends.copy()
    ends[0] += 1
    return replace(split, train_ends=ends)


def test_a_split_that_leaks_trains_nothing(id_shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = experiment(id_shop, name="leaking")
    prepared = PreparedExperiment.of(config)
    data = replace(prepared.data, split=leaking(prepared.data.split))
    monkeypatch.setattr(
        PreparedExperiment, "of", classmethod(lambda cls, own: cls(own, data, prepared.content))
    )
    with pytest.raises(DataLeakageError, match="validation query"):
        run_training(config)
    assert not config.run_folder.exists()


def test_a_fit_on_more_than_the_training_part_is_refused(id_shop: dict[str, Any], tmp_path: Path) -> None:
    prepared = PreparedExperiment.of(experiment(id_shop, name="leaking-fit", runs_dir=str(tmp_path)))
    split = prepared.data.split
    accelerator = build_accelerator(prepared.config.trainer, tmp_path)
    with pytest.raises(DataLeakageError, match=r"row 0 .* the first more is item"):
        train_network(prepared, NeuralRecommender(prepared.network()), leaking(split).train, accelerator)


def test_sequences_that_nothing_uses_are_refused(id_shop: dict[str, Any]) -> None:
    unused = {"sequence": {"copies": 0}}
    with pytest.raises(InputError, match=r"augment\.sequence does nothing"):
        check_augmentation(PreparedExperiment.of(experiment(id_shop, augment=unused)))
    check_augmentation(PreparedExperiment.of(experiment(id_shop, augment=unused, contrastive=CONTRASTIVE)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"contrastive": CONTRASTIVE}, "set augment.sequence"),
        ({"augment": {"resample": {"segment": 1}}}, "give the section 'segments'"),
        ({"augment": {"synthesis": {}}}, "needs items or users"),
        ({"augment": {"sequense": {}}}, "did you mean 'sequence'"),
    ],
)
def test_what_does_not_fit_is_told(id_shop: dict[str, Any], changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        experiment(id_shop, **changes)
