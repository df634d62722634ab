"""Trained embeddings: of items, smoothed or not, and of their groups."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.data.neighbours import Neighbours
from crossrec.model.modalities import Modality
from crossrec.types import ABSENT


class ItemId(Modality):
    """A trained embedding an item; items without a training click, and those added later, have none.

    Args:
        present: (N,) bool.
        width: D.
        std: standard deviation of the entries at the start; None for vectors of about unit length.
        rows: of the table; N when None.
    """

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
        """(K, width)."""
        # Items that were added have no row, and none is looked at: they are masked.
        return self.embedding(items_K.clamp(max=self.embedding.num_embeddings - 1))


class SmoothedId(ItemId):
    """Id embeddings mixed with those of the items most like each; an item with no neighbours has its own.

    Source: :class:`crossrec.model.config.SmoothingConfig`.

    Args:
        present, width, std: as of :class:`ItemId`.
        neighbours: K of each item, weighing as they are similar.
        share: of the neighbours in the sum, 0 to 1.
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
        # Saved with the model: who uses it elsewhere has no clicks to find the neighbours by.
        items = np.where(neighbours.ids_NK == ABSENT, own, neighbours.ids_NK)
        self.register_buffer("mixed", torch.from_numpy(np.hstack([own, items])))
        shares = np.hstack([1 - shares.sum(1, keepdims=True), shares]).astype(np.float32)
        self.register_buffer("shares", torch.from_numpy(shares))

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width)."""
        rows = items_K.clamp(max=len(self.mixed) - 1)
        weights = self.embedding.weight
        shares = self.shares[rows].to(weights.dtype)
        return F.embedding_bag(self.mixed[rows], weights, per_sample_weights=shares, mode="sum")


class ItemGroup(ItemId):
    """A trained embedding of the group that an item is in; items in none, and those added later, have none.

    Args:
        labels: (N,) numbers of groups from 0; ``ABSENT`` for an item that is in none.
        width: D.
        std: as of :class:`ItemId`.
    """

    labels: Tensor

    def __init__(self, labels: np.ndarray, width: int, std: float | None = None) -> None:
        known = labels != ABSENT
        super().__init__(known, width, std, rows=max(int(labels.max(initial=ABSENT)) + 1, 1))
        # Saved with the model: who uses it elsewhere need not make the groups again.
        self.register_buffer("labels", torch.from_numpy(np.asarray(labels, np.int64)))

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width)."""
        return self.embedding(self.labels[items_K.clamp(max=len(self.labels) - 1)].clamp(min=0))
