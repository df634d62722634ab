"""Item groups as a modality: shared within a group, trained, saved with the model, absent for new items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crossrec
from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.modalities.item_group import ItemGroupEmbedding
from crossrec.serving.training import run_training
from crossrec.types import ABSENT, ConfigError


def experiment(id_shop: dict[str, Any], **changes: Any) -> ExperimentConfig:
    model = {**id_shop["model"], "item_group": True}
    content = {"name": "grouped", "model": model, "segments": {"items": 4}, **changes}
    return validate(ExperimentConfig, {**id_shop, **content}, "test")


@pytest.fixture(scope="module")
def config(id_shop: dict[str, Any]) -> ExperimentConfig:
    config = experiment(id_shop)
    run_training(config)
    return config


def test_an_embedding_is_that_of_the_group() -> None:
    modality = ItemGroupEmbedding(np.array([1, 0, 1, ABSENT]), 3)
    vectors = modality(torch.arange(4))
    assert modality.embedding.weight.shape == (2, 3)
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.equal(vectors[0], vectors[1])
    assert modality.present.tolist() == [True, True, True, False]
    modality.append(np.array([False]), np.zeros((1, 0), np.float32))
    assert modality.present.tolist() == [True, True, True, False, False]
    assert torch.isfinite(modality(torch.tensor([4]))).all()


def test_the_embeddings_are_trained_and_matter(config: ExperimentConfig) -> None:
    prepared = PreparedExperiment.of(config)
    trained, untrained = load_recommender(prepared).network, prepared.network()
    groups = trained.items.modalities["group"]
    assert isinstance(groups, ItemGroupEmbedding)
    assert prepared.item_groups is not None
    np.testing.assert_array_equal(groups.labels.numpy(), prepared.item_groups.labels)
    before = untrained.items.modalities["group"]
    assert isinstance(before, ItemGroupEmbedding)
    start = before.embedding.weight
    assert not torch.equal(groups.embedding.weight, start)
    hidden = trained.item_vectors(torch.arange(prepared.data.split.n_items), shown=["id"])
    assert not torch.allclose(hidden, trained.item_vectors(torch.arange(prepared.data.split.n_items)))


def test_a_saved_model_keeps_its_groups(config: ExperimentConfig, tmp_path: Path) -> None:
    run = crossrec.load(config.run_folder)
    assert "group" in run.modalities
    run.save_pretrained(tmp_path / "saved", with_users=True)
    saved = crossrec.load(tmp_path / "saved")
    user = run.user_ids[0]
    ours, theirs = run.recommend(user_id=user, k=5), saved.recommend(user_id=user, k=5)
    assert ours.item_ids == theirs.item_ids
    assert ours.scores == theirs.scores


def test_groups_need_their_section(id_shop: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give the section 'segments'"):
        experiment(id_shop, segments=None)
