"""Item ids: one learned embedding per item, optionally smoothed among similar items."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.config import ComponentOptions, Config
from crossrec.data.neighbours import ItemSimilarity, Neighbours
from crossrec.model.modalities.base import ItemModality, ModalityInputs
from crossrec.model.modalities.layers import Modality
from crossrec.model.whitening import Whitening
from crossrec.types import ABSENT


class SmoothingConfig(Config):
    """ID-embedding smoothing: each id embedding is mixed with those of the most similar items.

    Source:
        Zhu et al. 2021, "Graph-based embedding smoothing for sequential recommendation" (GES), who run graph
        convolutions over transitions and attributes; ours is one step over the k most similar items.
    """

    neighbours: int = Field(10, ge=1, le=100_000, description="number of most similar items to mix in")
    share: float = Field(0.4, gt=0, lt=1, description="weight of the neighbours, divided by similarity")
    similarity: ItemSimilarity = Field(
        "clicks", description="similarity by common users, by text and picture vectors, or the larger of both"
    )


class ItemId(ItemModality):
    """One learned embedding per item with a training click."""

    learned = seeded = True

    class Options(ComponentOptions):
        """One learned embedding per item with a training click."""

        smoothing: SmoothingConfig | None = Field(
            None, description="smoothing of the embeddings among similar items"
        )

    options: Options

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return the embeddings.

        Raises:
            ValueError: if ids are smoothed, and the neighbours are not given.
        """
        smoothing = self.options.smoothing
        if smoothing is None:
            return ItemIdEmbedding(inputs.trained_N, inputs.width, inputs.id_std)
        if inputs.neighbours is None:
            raise ValueError("model.smoothing needs the items' neighbours")
        return SmoothedIdEmbedding(
            inputs.trained_N, inputs.width, inputs.id_std, inputs.neighbours, smoothing.share
        )

    def parameters(self, width: int, whiten: Whitening, n_items: int) -> int:
        """Return the size of the table."""
        return n_items * width


class ItemIdEmbedding(Modality):
    """One learned embedding per item; items without a training click, and those added later, have none.

    Args:
        present: (N,) bool, which items have an embedding.
        width: D.
        std: standard deviation of the initial entries; None for vectors of about unit length.
        rows: number of rows of the table; N when None.
    """

    learned = True
    trained: Tensor

    def __init__(
        self, present: np.ndarray, width: int, std: float | None = None, rows: int | None = None
    ) -> None:
        super().__init__(present, width)
        # Saved with the model: later clicks on an item don't train its embedding.
        self.register_buffer("trained", torch.from_numpy(np.array(present, dtype=bool)))
        self.embedding = nn.Embedding(len(present) if rows is None else rows, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5 if std is None else std)

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width)."""
        # Added items have no row, and none is read: they are masked.
        return self.embedding(items_K.clamp(max=self.embedding.num_embeddings - 1))


class SmoothedIdEmbedding(ItemIdEmbedding):
    """ID embeddings mixed with those of the most similar items; an item without neighbours keeps its own.

    Source: :class:`SmoothingConfig`.

    Args:
        present, width, std: as in :class:`ItemIdEmbedding`.
        neighbours: K neighbours of each item, weighted by similarity.
        share: share of the neighbours in the sum, 0 to 1.
    """

    mixed: Tensor
    shares: Tensor

    def __init__(
        self, present: np.ndarray, width: int, std: float | None, neighbours: Neighbours, share: float
    ) -> None:
        super().__init__(present, width, std)
        own = np.arange(len(present))[:, None]
        total = neighbours.similarities_NK.sum(1, keepdims=True)
        shares = share * neighbours.similarities_NK / np.where(total > 0, total, 1)
        # Saved with the model, which may be used without the clicks that determine the neighbours.
        items = np.where(neighbours.ids_NK == ABSENT, own, neighbours.ids_NK)
        self.register_buffer("mixed", torch.from_numpy(np.hstack([own, items])))
        shares = np.hstack([1 - shares.sum(1, keepdims=True), shares]).astype(np.float32)
        self.register_buffer("shares", torch.from_numpy(shares))

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width)."""
        rows = items_K.clamp(max=len(self.mixed) - 1)
        weights = self.embedding.weight
        shares = self.shares[rows].to(weights.dtype)
        return F.embedding_bag(self.mixed[rows], weights, per_sample_weights=shares, mode="sum")
