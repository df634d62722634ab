"""Modalities that take further items, follow the statistics that were trained, and can be hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.data.catalog import Catalog
from crossrec.encoders.cache import Features
from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.fusion.base import SingleModality
from crossrec.model.fusion.weighted import WeightedFusion
from crossrec.model.growth import append_items, encode_items
from crossrec.model.modalities import layers
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import FrozenFeatures, Modality
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.sasrec import SASRec
from crossrec.types import InputError, Sequences

N, W, D = 30, 12, 8


def vectors(seed: int, rows: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, W)).astype(np.float16)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("components", [None, 5])
def test_added_features_are_transformed_as_the_first_ones(
    monkeypatch: pytest.MonkeyPatch, components: int | None, resident: bool
) -> None:
    if not resident:
        monkeypatch.setattr(layers, "RESIDENT_BYTES", 0)
    present = np.arange(N) % 3 > 0
    modality = FrozenFeatures(vectors(0), present, components=components)
    assert modality.resident == resident
    rows = torch.arange(N)
    before = modality(rows).clone()
    modality.append(np.asarray([True, False]), np.concatenate([vectors(0)[4:5], vectors(0)[:1]]))
    modality.append(np.asarray([True]), vectors(0)[7:8])
    assert torch.equal(modality(rows), before)
    torch.testing.assert_close(modality(torch.tensor([N, N + 2])), before[[4, 7]])
    assert modality.present.tolist() == [*present.tolist(), True, False, True]


def test_vectors_follow_statistics_that_are_loaded() -> None:
    everything = np.ones(N, dtype=bool)
    trained = FrozenFeatures(vectors(0), everything, components=5)
    # The same items, fitted with others beside them: another basis, until the trained one is loaded.
    grown = FrozenFeatures(np.concatenate([vectors(0), vectors(1)]), np.ones(2 * N, bool), components=5)
    rows = torch.arange(N)
    assert not torch.allclose(grown(rows), trained(rows), atol=1e-2)
    grown.load_state_dict(trained.state_dict())
    torch.testing.assert_close(grown(rows), trained(rows))


def test_added_items_have_no_embedding_by_id() -> None:
    modality = ItemIdEmbedding(np.ones(N, dtype=bool), D)
    modality.append(np.zeros(2, dtype=bool), np.zeros((2, 0), np.float32))
    assert modality.present[N:].tolist() == [False, False]
    assert modality(torch.tensor([0, N + 1])).shape == (2, D)


def test_hidden_modalities_are_masked() -> None:
    torch.manual_seed(0)
    parts = {
        "text": FrozenFeatures(vectors(0), np.arange(N) % 3 > 0, components=None),
        "id": ItemIdEmbedding(np.arange(N) % 5 > 0, D),
    }
    encoder = ItemEncoder(
        dict(parts), WeightedFusion(WeightedFusion.Options(), 2, D), D, dropout=0.0, modality_dropout=0.0
    ).eval()
    rows = torch.arange(N)
    both, text = encoder(rows), encoder(rows, {"text"})
    assert torch.equal(encoder(rows, {"text", "id"}), both)
    without_id = torch.from_numpy(np.arange(N) % 5 == 0)
    torch.testing.assert_close(text[without_id], both[without_id])
    nothing = torch.from_numpy(np.arange(N) % 3 == 0)
    assert torch.equal(text[nothing], encoder.fusion.nothing.expand(int(nothing.sum()), D))


def network(name: str, modality: Modality) -> SequentialNetwork:
    torch.manual_seed(0)
    items = ItemEncoder({name: modality}, SingleModality(1, D), D, dropout=0.0, modality_dropout=0.0)
    sequence = SASRec.Options(max_length=6).build(D, Path())
    return SequentialNetwork(items, sequence, N, similarity="cosine", temperature=0.1)


def new_content(folder: Path) -> EncodedCatalog:
    return EncodedCatalog(Catalog.from_columns({"item_id": ["a", "b"], "text": ["x", "y"]}), folder)


def test_a_network_by_ids_alone_can_not_know_new_items(tmp_path: Path) -> None:
    config = ModelConfig.model_validate({"text": None, "image": None, "item_id": True})
    with pytest.raises(InputError, match="ids alone"):
        encode_items(network("id", ItemIdEmbedding(np.ones(N, bool), D)), config, new_content(tmp_path))


def test_items_of_which_nothing_is_read_are_refused_by_name(tmp_path: Path) -> None:
    config, content = ModelConfig.model_validate({"text": None}), new_content(tmp_path)
    config.build_modalities()["image"].set_features(
        content, Features(vectors(1, 2), np.asarray([True, False]), [])
    )
    own = network("image", FrozenFeatures(vectors(0), np.ones(N, bool), components=None))
    with pytest.raises(InputError, match="'b' has no modality that this model reads: image"):
        encode_items(own, config, content)


def test_old_vectors_are_kept_and_new_ones_made_when_needed(tmp_path: Path) -> None:
    config, content = ModelConfig.model_validate({"text": None}), new_content(tmp_path)
    config.build_modalities()["image"].set_features(
        content, Features(vectors(0)[4:6], np.asarray([True, True]), [])
    )
    own = network("image", FrozenFeatures(vectors(0), np.ones(N, bool), components=5))
    recommender = NeuralRecommender(own)
    before = recommender.item_vectors().clone()
    append_items(own, encode_items(own, config, content), 2)
    assert recommender.n_items == N + 2
    assert torch.equal(recommender.item_vectors()[:N], before)
    torch.testing.assert_close(recommender.item_vectors()[N:], before[4:6])
    assert recommender.score(Sequences.from_lists([[1, N + 1]])).shape == (1, N + 2)
