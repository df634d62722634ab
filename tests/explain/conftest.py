"""A small shop with texts and pictures, and networks over it with random weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter

from crossrec.data.catalog import Catalog
from crossrec.encoders.base import EncoderPrecision
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.explain import Explainer, ItemContent
from crossrec.model.build import build_network
from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.fusion import FUSIONS
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import FrozenFeatures, Modality
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence import SequenceOptions
from crossrec.types import Sequences

N, D = 24, 16
WORDS = ["a", "red", "blue", "shirt", "shoe", "of", "wool", "for", "winter", "the", "and", "with", "linen"]


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """24 products; the last has neither picture nor text, the one before it no picture."""
    rng = np.random.default_rng(0)
    pictures: list[bytes | None] = [
        png(Image.fromarray(rng.integers(0, 255, (5, 6, 3), dtype=np.uint8)).resize((48, 40)))
        for _ in range(N)
    ]
    texts: list[str | None] = [" ".join(rng.choice(WORDS, 6)) + "." for _ in range(N)]
    pictures[-1] = pictures[-2] = texts[-1] = None
    return Catalog.from_columns(
        {
            "item_id": [f"p{i}" for i in range(N)],
            "title": [f"Product {i}" for i in range(N)],
            "text": texts,
            "image_bytes": pictures,
            "categories": [["ab"[i % 2]] for i in range(N)],
            "price": [float(i) for i in range(N)],
        }
    )


@dataclass(frozen=True)
class Shop:
    """A network over the catalogue, with what it was made from."""

    recommender: NeuralRecommender
    content: ItemContent

    @property
    def explainer(self) -> Explainer:
        return Explainer(self.recommender, self.content)


@pytest.fixture(scope="session")
def make_shop(
    catalog: Catalog, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Shop]:
    """``make_shop(image_model=..., **image)``: texts, pictures and ids, read by SASRec."""
    cache = tmp_path_factory.mktemp("cache")

    def make(image_model: str = "test_efficientnet", **changes: Any) -> Shop:
        config = ModelConfig.model_validate(
            {
                "text": TextEncoder.Options(
                    weights=str(tiny_bert),
                    max_tokens=16,
                    precision=EncoderPrecision.FP32,
                    **changes.get("text", {}),
                ),
                "image": ImageEncoder.Options(
                    model=image_model,
                    weights="random",
                    image_size=64,
                    precision=EncoderPrecision.FP32,
                    **changes.get("image", {}),
                ),
                "item_id": True,
                "width": D,
                "whiten": 8,
                "sequence": TypeAdapter(SequenceOptions).validate_python(
                    {"type": "sasrec", "max_length": 6, "heads": 2}
                ),
            }
        )
        network = build_network(config, EncodedCatalog(catalog, cache), np.ones(N, np.int64), seed=0)
        return Shop(NeuralRecommender(network), ItemContent(catalog, config, cache))

    return make


@pytest.fixture(scope="session")
def shop(make_shop: Callable[..., Shop]) -> Shop:
    return make_shop()


def by_features(
    sequence: dict[str, Any] | None = None, fusion: str = "gated", similarity: str = "cosine", seed: int = 0
) -> NeuralRecommender:
    """A network of random weights over random text, picture and id features; some are missing."""
    rng = np.random.default_rng(1)
    modalities: dict[str, Modality] = {
        "text": FrozenFeatures(
            rng.normal(size=(N, 12)).astype(np.float32), np.arange(N) % 3 > 0, components=8
        ),
        "image": FrozenFeatures(
            rng.normal(size=(N, 12)).astype(np.float32), np.arange(N) % 4 > 0, components=None
        ),
    }
    torch.manual_seed(seed)
    modalities["id"] = ItemIdEmbedding(np.arange(N) % 5 > 0, D)
    fused = FUSIONS.parse({"type": fusion}).build(3, D)
    items = ItemEncoder(modalities, fused, D, dropout=0.1, modality_dropout=0.1)
    settings = {"type": "sasrec", "max_length": 6, "layers": 2} | (sequence or {})
    if settings["type"] not in ("gru4rec", "llm"):
        settings = {"heads": 2} | settings
    model = TypeAdapter(SequenceOptions).validate_python(settings).build(D, Path())
    return NeuralRecommender(
        SequentialNetwork(items, model, N, similarity=similarity, temperature=0.1)  # type: ignore[arg-type]
    )


@pytest.fixture(scope="session")
def networks() -> Callable[..., NeuralRecommender]:
    """``networks(sequence, fusion, similarity)``: made from features alone, in a moment."""
    return by_features


@pytest.fixture(scope="session")
def history() -> Sequences:
    """One user's five clicks with times."""
    clicks, times = np.asarray([1, 7, 2, 11, 5]), np.asarray([10, 500, 90_000, 90_100, 400_000])
    return Sequences(np.asarray([0, 5]), clicks, times)
