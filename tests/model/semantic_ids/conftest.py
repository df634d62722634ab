"""A small generative network with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.model.fusion.gated import GatedFusion
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import ItemEncoder
from crossrec.model.semantic_ids.decoder import CodeDecoder
from crossrec.model.semantic_ids.network import GenerativeNetwork, new_ids
from crossrec.model.sequence.semantic_id import SemanticId

N, D, W = 50, 16, 6


def network(
    counts: np.ndarray, codes: int = 4, levels: int = 2, beam: int = 50, prefix_vectors: bool = True
) -> GenerativeNetwork:
    """A network over 50 items, of which every seventh lacks its features."""
    torch.manual_seed(0)
    features = np.random.default_rng(1).normal(size=(N, W)).astype(np.float32)
    modalities = {
        "text": FrozenFeatures(features, np.arange(N) % 7 > 0, components=None),
        "id": ItemIdEmbedding(counts > 0, D),
    }
    fusion = GatedFusion.Options().build(2, D)
    items = ItemEncoder(modalities, fusion, D, dropout=0.0, modality_dropout=0.0)
    options = SemanticId.Options(codes=codes, levels=levels, max_length=10, codebooks="content")
    ids = new_ids(items, options, counts, seed=0)
    return GenerativeNetwork(
        items,
        options.build(D, Path()),
        N,
        ids=ids,
        decoder=CodeDecoder(options, D, ids.sizes, 1),
        beam=beam,
        similarity="dot",
        prefix_vectors=prefix_vectors,
    )


@pytest.fixture
def build() -> Callable[..., GenerativeNetwork]:
    """``build(counts, codes=4, levels=2, beam=50, prefix_vectors=True)``: a network with random weights."""
    return network


@pytest.fixture
def counts() -> np.ndarray:
    """Training clicks; a fifth of the items is cold."""
    return np.arange(N) % 5
