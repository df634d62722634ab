"""What an item is known by: one source of raw vectors a modality."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from peft import PeftModel

    from crossrec.encoders.base import Encoder

RESIDENT_BYTES = 2 << 30
"""Frozen features up to this size are kept on the device; larger ones stay mapped from disk."""


class Modality(nn.Module):
    """Raw vectors of items, before they are projected to the item width.

    Args:
        present: (N,) bool, which items have this modality.
        width: size of a raw vector.
    """

    present: Tensor

    def __init__(self, present: np.ndarray, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("present", torch.from_numpy(np.asarray(present, dtype=bool)), persistent=False)

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width) raw vectors; anything in rows where the modality is missing."""
        raise NotImplementedError("a modality implements forward()")


class ItemId(Modality):
    """A trained embedding an item; items without a training click have none.

    Args:
        present: (N,) bool.
        width: D.
        std: standard deviation of the entries at the start; None for vectors of about unit length.
    """

    def __init__(self, present: np.ndarray, width: int, std: float | None = None) -> None:
        super().__init__(present, width)
        self.embedding = nn.Embedding(len(present), width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5 if std is None else std)

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width)."""
        return self.embedding(items_K)


class FrozenFeatures(Modality):
    """Vectors that a frozen encoder computed once.

    Args:
        vectors: (N, W) encoder output, usually memory-mapped.
        present: (N,) bool.
        components: PCA-whiten to this many dimensions, with statistics of the items that are present
            (Su et al. 2021; Zhang et al. 2024, WhitenRec); None only centres and scales.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, vectors: np.ndarray, present: np.ndarray, *, components: int | None) -> None:
        mean, basis = (
            _centring(vectors, present) if components is None else _pca(vectors, present, components)
        )
        super().__init__(present, vectors.shape[1] if basis.ndim == 1 else basis.shape[1])
        # Saved with the model: an item that is added later must be mapped like those seen here.
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("basis", torch.from_numpy(basis))
        self._mapped: np.ndarray | None = None
        if len(vectors) * self.width * 4 <= RESIDENT_BYTES:
            blocks = [
                self.transform(torch.tensor(vectors[i : i + 4096])) for i in range(0, len(vectors), 4096)
            ]
            self.register_buffer("vectors", torch.cat(blocks), persistent=False)
        else:
            self._mapped = vectors

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width) transformed vectors."""
        if self._mapped is None:
            return self.get_buffer("vectors")[items_K]
        rows = torch.tensor(self._mapped[items_K.cpu().numpy()])
        return self.transform(rows.to(items_K.device))

    def transform(self, rows_KW: Tensor) -> Tensor:
        """(K, width) raw encoder output, as the model takes it."""
        centred = rows_KW.float() - self.mean
        return centred @ self.basis if self.basis.ndim == 2 else centred * self.basis


class TrainedEncoder(Modality):
    """An encoder inside the training step (finetune or LoRA).

    Args:
        encoder: module that maps ``load(items)`` to (K, width).
        load: gives the encoder's input tensors for item indices: tokens or pixels.
        present: (N,) bool.
        width: the encoder's output size.
    """

    def __init__(
        self,
        encoder: Encoder,
        load: Callable[[np.ndarray], dict[str, Tensor]],
        present: np.ndarray,
        width: int,
    ) -> None:
        super().__init__(present, width)
        self.encoder = encoder
        self._load = load

    def adapter(self) -> PeftModel | None:
        """peft's model, where the encoder is tuned by LoRA."""
        return self.encoder.adapter()

    def inputs(self, rows_K: Tensor) -> dict[str, Tensor]:
        """The encoder's input for K items that have the modality."""
        return self._load(rows_K.cpu().numpy())

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width); the encoder only sees items that have the modality."""
        known = self.present[items_K]
        rows = items_K[known]
        if not len(rows):
            return torch.zeros(len(items_K), self.width, device=items_K.device)
        inputs = {name: value.to(items_K.device) for name, value in self.inputs(rows).items()}
        vectors = self.encoder(**inputs)
        result = vectors.new_zeros(len(items_K), self.width)
        return result.index_put((known.nonzero().squeeze(1),), vectors)


def _centring(vectors: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.asarray(vectors[present], dtype=np.float32)
    scale = np.float32(1 / max(float(known.std(0).mean()), 1e-6)) if len(known) else np.float32(1)
    mean = known.mean(0) if len(known) else np.zeros(vectors.shape[1], np.float32)
    return mean.astype(np.float32), np.asarray([scale], np.float32)


def _pca(vectors: np.ndarray, present: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (W, C) basis; directions with next to no variance are not blown up."""
    known = np.asarray(vectors[present], dtype=np.float64)
    if len(known) < 2:
        return _centring(vectors, present)
    values, axes = np.linalg.eigh(np.cov(known, rowvar=False))
    values, axes = values[::-1][:components], axes[:, ::-1][:, :components]
    floor = 1e-3 * max(float(values[0]), 1e-12)
    return known.mean(0).astype(np.float32), (axes / np.sqrt(np.maximum(values, 0) + floor)).astype(
        np.float32
    )
