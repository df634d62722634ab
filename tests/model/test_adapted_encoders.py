"""Encoders tuned before the training: training clicks alone, files, errors, and what is saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import crossrec as cr
from crossrec.augment.content.variants import TextVariantsConfig
from crossrec.encoders.text import TextEncoder
from crossrec.experiment.prepared import encoded_catalog
from crossrec.model.build import build_network
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities.base import ModalityInputs
from crossrec.model.modalities.layers import AdaptedFeatures
from crossrec.training.checkpoint import trained_state
from crossrec.types import ConfigError, InputError

N = 12
WORDS = ("dog", "tax", "red", "puppy", "law", "shirt")
ADAPT = {"epochs": 1, "lr": 0.01, "batch_size": 6}


def clicks(last: int, second: int = 1) -> list[list[int]]:
    """Histories of eight users; the second click and the last two, which are not trained on, vary."""
    rows = [[user % N, (user + second) % N, (user + 2) % N, (user + 3) % N] for user in range(8)]
    return [[*row, (user + 4 + last) % N, (user + 6 + last) % N] for user, row in enumerate(rows)]


def data(cache: Path, histories: list[list[int]]) -> Any:
    items = pl.DataFrame(
        {"item_id": [f"i{row}" for row in range(N)], "text": [f"a {WORDS[row % 6]}" for row in range(N)]}
    )
    rows = [
        (f"u{user}", f"i{item}", 60 * place)
        for user, own in enumerate(histories)
        for place, item in enumerate(own)
    ]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return cr.Dataset(items, log, cache_dir=cache).split("leave_one_out")


def model(bert: Path, **options: Any) -> cr.SequentialRecommender:
    text = {"weights": str(bert), "max_tokens": 8, "precision": "fp32", "adapt": ADAPT, **options}
    return cr.SequentialRecommender(
        modalities={"text": {"type": "text", **text}},
        sequence=cr.SASRec(layers=1, max_length=6, dropout=0.0),
        width=8,
        whiten=None,
    )


def tuned_on(bert: Path, cache: Path, histories: list[list[int]]) -> str:
    """The identity of the encoder that was tuned."""
    part = model(bert, training="finetune").config.model.build_modalities()["text"]
    content = encoded_catalog(data(cache, histories))
    network = part.network(ModalityInputs(content, 8, np.ones(N, dtype=bool)))
    assert isinstance(network, AdaptedFeatures)
    return str(network.encoder.identity)


def test_it_is_tuned_on_training_clicks_alone(tiny_bert: Path, tmp_path: Path) -> None:
    first, other_targets, other_clicks = (
        tuned_on(tiny_bert, tmp_path / str(place), histories)
        for place, histories in enumerate((clicks(0), clicks(1), clicks(0, second=5)))
    )
    assert first == other_targets
    assert first != other_clicks


def test_tuned_weights_alone_are_saved_with_the_model(tiny_bert: Path, tmp_path: Path) -> None:
    fitted = model(tiny_bert, training="lora").fit(data(tmp_path, clicks(0)), epochs=1)
    network = fitted.recommender.network
    names = {name for name in trained_state(network) if ".encoder." in name}
    assert names
    assert all("lora_" in name for name in names)
    assert not any(p.requires_grad for name, p in network.named_parameters() if ".encoder." in name)
    assert list(network.adapters()) == ["adapter-text"]
    folder = fitted.save(tmp_path / "saved", pictures="none")
    # The encoder of a loaded model is the tuned one, whatever the cache holds.
    loaded = cr.load(folder)
    loaded.add_items([{"item_id": "new", "text": "a blue shoe"}])
    modality = loaded.recommender.network.items.modalities["text"]
    ours = network.items.modalities["text"]
    assert isinstance(modality, AdaptedFeatures)
    assert isinstance(ours, AdaptedFeatures)
    expected = ours.encoder.encode(["a blue shoe"])
    np.testing.assert_allclose(modality.raw(np.asarray([N])), expected, atol=2e-3)
    plain = TextEncoder.Options(weights=str(tiny_bert), max_tokens=8).build(tmp_path)
    assert np.abs(plain.encode(["a blue shoe"]) - expected).max() > 0.01


def test_a_frozen_encoder_has_nothing_to_tune(tiny_bert: Path) -> None:
    with pytest.raises(ConfigError, match=r"training: frozen leaves nothing to tune; set training: lora"):
        model(tiny_bert)


def test_variants_of_content_are_rejected_before_it_is_tuned(tiny_bert: Path, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Augment:
        text: TextVariantsConfig
        image: None = None

    variants = TextVariantsConfig.model_validate({"augmenters": [{"type": "character_noise"}]})
    content = EncodedCatalog(data(tmp_path, clicks(0)).catalog, tmp_path)
    config = model(tiny_bert, training="lora").config.model
    with pytest.raises(InputError, match=r"text\.adapt: variants .* set augment\.text=null"):
        build_network(config, content, np.ones(N), 0, Augment(variants))


def test_without_training_clicks_it_says_so(tiny_bert: Path, tmp_path: Path) -> None:
    prepared = data(tmp_path, clicks(0))
    part = model(tiny_bert, training="lora").config.model.build_modalities()["text"]
    with pytest.raises(InputError, match=r"modalities\.text\.adapt: .* train the model first"):
        part.features(EncodedCatalog(prepared.catalog, tmp_path))
