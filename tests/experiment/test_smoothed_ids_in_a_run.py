"""Smoothed ids: mixed with similar items', learned together, saved with the model, absent for new items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import crossrec
from crossrec.config import validate
from crossrec.data.neighbours import Neighbours, find_neighbours
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.build import build_network
from crossrec.model.modalities.item_id import ItemId, SmoothedIdEmbedding
from crossrec.model.relations import ItemRelations
from crossrec.serving.training import run_training
from crossrec.training.checkpoint import read_state
from crossrec.types import ABSENT, ConfigError, InputError


def experiment(id_shop: dict[str, Any], **smoothing: Any) -> ExperimentConfig:
    model = {**id_shop["model"], "smoothing": {"neighbours": 3, "share": 0.4, **smoothing}}
    return validate(ExperimentConfig, {**id_shop, "name": "smoothed", "model": model}, "test")


@pytest.fixture(scope="module")
def config(id_shop: dict[str, Any]) -> ExperimentConfig:
    config = experiment(id_shop)
    run_training(config)
    return config


@pytest.fixture
def modality() -> SmoothedIdEmbedding:
    ids_NK = np.array([[1, 3], [0, ABSENT], [ABSENT, ABSENT], [0, 1]])
    similarities_NK = np.array([[0.6, 0.2], [0.5, 0], [0, 0], [0.1, 0.1]], np.float32)
    return SmoothedIdEmbedding(np.ones(4, bool), 5, None, Neighbours(ids_NK, similarities_NK), 0.4)


def test_an_id_is_its_own_embedding_and_its_neighbours_as_they_are_similar(
    modality: SmoothedIdEmbedding,
) -> None:
    e = modality.embedding.weight
    expected = [0.6 * e[0] + 0.3 * e[1] + 0.1 * e[3], 0.6 * e[1] + 0.4 * e[0], e[2]]
    expected.append(0.6 * e[3] + 0.2 * e[0] + 0.2 * e[1])
    torch.testing.assert_close(modality(torch.arange(4)), torch.stack(expected))


def test_what_an_item_learns_its_neighbours_learn_too(modality: SmoothedIdEmbedding) -> None:
    modality(torch.tensor([0, 2])).sum().backward()
    gradient = modality.embedding.weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient[:, 0], torch.tensor([0.6, 0.3, 1.0, 0.1]))


def test_an_item_that_is_added_has_no_id(modality: SmoothedIdEmbedding) -> None:
    modality.append(np.array([False]), np.zeros((1, 0), np.float32))
    assert modality.present.tolist() == [True] * 4 + [False]
    assert torch.isfinite(modality(torch.tensor([4]))).all()


def test_neighbours_are_those_of_the_training_clicks(config: ExperimentConfig) -> None:
    prepared = PreparedExperiment.of(config)
    network = load_recommender(prepared).network
    ids = network.items.modalities["id"]
    assert isinstance(ids, SmoothedIdEmbedding)
    expected = find_neighbours(prepared.data.split.train, prepared.data.split.n_items, 3, "clicks")
    own = np.arange(prepared.data.split.n_items)[:, None]
    known = expected.ids_NK != ABSENT
    assert known.any()
    np.testing.assert_array_equal(ids.mixed.numpy(), np.hstack([own, np.where(known, expected.ids_NK, own)]))
    shares = 0.4 * expected.similarities_NK / np.maximum(expected.similarities_NK.sum(1, keepdims=True), 1e-9)
    np.testing.assert_allclose(ids.shares.numpy()[:, 1:], shares, atol=1e-6)
    before = prepared.network().items.modalities["id"]
    assert isinstance(before, SmoothedIdEmbedding)
    start = before.embedding.weight
    assert not torch.equal(ids.embedding.weight, start)


def test_a_saved_model_keeps_its_neighbours(config: ExperimentConfig, tmp_path: Path) -> None:
    run = crossrec.load(config.run_folder)
    run.save_pretrained(tmp_path / "saved", with_users=True)
    saved = crossrec.load(tmp_path / "saved")
    user = run.user_ids[0]
    ours, theirs = run.recommend(user_id=user, k=5), saved.recommend(user_id=user, k=5)
    assert ours.item_ids == theirs.item_ids
    assert ours.scores == theirs.scores


def test_weights_of_another_model_are_refused(config: ExperimentConfig, tmp_path: Path) -> None:
    smoothed = config.model
    plain = smoothed.model_copy(update={"modalities": {"id": ItemId.Options()}})
    prepared = PreparedExperiment.of(config.model_copy(update={"model": plain}))
    weights = tmp_path / "plain.safetensors"
    save_file(dict(prepared.network().state_dict()), weights)
    tensors = read_state(weights).tensors
    assert ItemRelations.from_checkpoint(tensors, plain, weights).neighbours is None
    with pytest.raises(InputError, match=r"id\.mixed is missing"):
        ItemRelations.from_checkpoint(tensors, smoothed, weights)


def test_similarity_by_content_needs_an_encoder(id_shop: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="similarity: clicks"):
        PreparedExperiment.of(experiment(id_shop, similarity="content")).network()


def test_smoothing_needs_ids_and_neighbours(id_shop: dict[str, Any]) -> None:
    prepared = PreparedExperiment.of(experiment(id_shop))
    with pytest.raises(ValueError, match=r"model\.smoothing needs"):
        build_network(prepared.config.model, prepared.content, prepared.data.split.train_counts, 0)
    model: dict[str, Any] = {"image": None, "smoothing": {}}
    with pytest.raises(ConfigError, match="set item_id: true, or smoothing: null"):
        validate(ExperimentConfig, {**id_shop, "model": model}, "test")
