"""Modules of the network that hold or compute the raw vectors of one modality."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.encoders.base import Encoder
from crossrec.model.whitening import FeatureMap, Whitening, fit_map

if TYPE_CHECKING:
    from peft import PeftModel


RESIDENT_BYTES = 2 << 30
"""Maximum size of frozen features on the device, bytes; larger ones stay memory-mapped."""


BLOCK = 4096
"""Number of items transformed or encoded at a time."""


class Modality(nn.Module):
    """Base of modalities in the network: raw vectors of items, before the projection to the item width.

    Args:
        present: (N,) bool, which items have this modality.
        width: size of a raw vector.
    """

    learned: ClassVar[bool] = False
    """Whether the vectors are learned from clicks alone, so that no item added later has one."""
    present: Tensor

    def __init__(self, present: np.ndarray, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("present", torch.from_numpy(np.asarray(present, dtype=bool)), persistent=False)

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width) raw vectors; arbitrary in rows where the modality is missing."""
        raise NotImplementedError("a modality implements forward()")

    def append(self, present_K: np.ndarray, vectors_KW: np.ndarray) -> None:
        """Append room for K items; the existing ones stay unchanged.

        Args:
            present_K: (K,) bool, which of them have this modality.
            vectors_KW: encoder output, arbitrary where not present.
        """
        added = torch.from_numpy(np.asarray(present_K, dtype=bool)).to(self.present.device)
        self.present = torch.cat([self.present, added])


class FrozenFeatures(Modality):
    """Vectors that a frozen encoder computed once.

    Args:
        vectors: (N, W) encoder output, usually memory-mapped.
        present: (N,) bool, which items have the modality.
        components: number of whitened dimensions, with statistics of the present items (:func:`fit_map`),
            or the map of a trained network.
    """

    map: FeatureMap
    mean: Tensor
    basis: Tensor

    def __init__(
        self, vectors: np.ndarray, present: np.ndarray, *, components: Whitening | FeatureMap
    ) -> None:
        if isinstance(components, FeatureMap):
            self.map = components
        else:
            self.map = fit_map(vectors, present, components)
        mean, basis = self.map.mean, self.map.basis
        super().__init__(present, self.map.width)
        # Saved with the model: items added later must be mapped in the same way.
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("basis", torch.from_numpy(basis))
        # Copies, since loading writes into the buffers.
        self._fitted = (mean.copy(), basis.copy())
        self._raw: list[np.ndarray] = [vectors]
        self.resident = len(vectors) * self.width * 4 <= RESIDENT_BYTES
        if self.resident:
            self.register_buffer("vectors", self._transformed(vectors), persistent=False)
        self.register_load_state_dict_post_hook(_follow_loaded_basis)

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width) transformed vectors."""
        if self.resident:
            return self.get_buffer("vectors")[items_K]
        rows = torch.tensor(self.raw(items_K.cpu().numpy()))
        return self.transform(rows.to(items_K.device))

    def raw(self, items_K: np.ndarray) -> np.ndarray:
        """Return (K, W) stored encoder output."""
        return _rows_of(self._raw, items_K)

    def append(self, present_K: np.ndarray, vectors_KW: np.ndarray) -> None:
        """Append K items, centred and whitened with the existing statistics."""
        if self.resident:
            there = self.get_buffer("vectors")
            added = self._transformed(vectors_KW).to(there.device)
            self.register_buffer("vectors", torch.cat([there, added]), persistent=False)
        self._raw.append(vectors_KW)
        super().append(present_K, vectors_KW)

    def _transformed(self, vectors_KW: np.ndarray) -> Tensor:
        """Return (K, width), computed on the CPU, so that the result is the same for all devices."""
        return transformed(vectors_KW, self.mean.cpu(), self.basis.cpu())

    def transform(self, rows_KW: Tensor) -> Tensor:
        """Transform raw encoder output to the model's input, (K, width)."""
        return _apply(rows_KW, self.mean, self.basis)

    def follow_loaded_basis(self) -> None:
        """Transform the vectors again if other statistics than their own were loaded.

        The signs of a basis differ between machines, and the whole basis if the data have new items.
        """
        loaded = (self.mean.cpu().numpy(), self.basis.cpu().numpy())
        if not all(np.array_equal(old, new) for old, new in zip(self._fitted, loaded, strict=True)):
            self._fitted = (loaded[0].copy(), loaded[1].copy())
            if self.resident:
                device = self.get_buffer("vectors").device
                vectors = torch.cat([self._transformed(part) for part in self._raw]).to(device)
                self.register_buffer("vectors", vectors, persistent=False)


class AdaptedFeatures(FrozenFeatures):
    """Vectors of an encoder that was tuned on training clicks before; the encoder is saved with the model.

    Args:
        encoder: tuned encoder, which encodes items that are added later.
        vectors, present, components: as in :class:`FrozenFeatures`.
    """

    def __init__(
        self,
        encoder: Encoder,
        vectors: np.ndarray,
        present: np.ndarray,
        *,
        components: Whitening | FeatureMap,
    ) -> None:
        super().__init__(vectors, present, components=components)
        self.encoder = encoder

    @property
    def tuned_names(self) -> list[str]:
        """Names of parameters that are saved although they are not trained with the model."""
        return [f"encoder.{name}" for name in self.encoder.tuned_names]

    def adapter(self) -> PeftModel | None:
        """Return peft's model if the encoder was tuned by LoRA."""
        return self.encoder.adapter()


class TrainableEncoder(Modality):
    """An encoder inside the training step (finetune or LoRA).

    Args:
        encoder: module that maps ``load(items)`` to (K, width).
        load: function from item indices to the encoder's input tensors: tokens or pixels.
        present: (N,) bool, which items have the modality.
        width: output size of the encoder.
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
        self._remembers = False

    def adapter(self) -> PeftModel | None:
        """Return peft's model if the encoder is tuned by LoRA."""
        return self.encoder.adapter()

    def inputs(self, rows_K: Tensor) -> dict[str, Tensor]:
        """Return the encoder's input for K items that have the modality."""
        return self._load(rows_K.cpu().numpy())

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width); the encoder only reads items that have the modality."""
        if self._remembers and not self.training:
            return self.get_buffer("remembered")[items_K]
        known = self.present[items_K]
        rows = items_K[known]
        if not len(rows):
            return torch.zeros(len(items_K), self.width, device=items_K.device)
        inputs = {name: value.to(items_K.device) for name, value in self.inputs(rows).items()}
        vectors = self.encoder(**inputs)
        result = vectors.new_zeros(len(items_K), self.width)
        return result.index_put((known.nonzero().squeeze(1),), vectors)

    @torch.no_grad()
    def encode(self, present_K: np.ndarray, load: Callable[[np.ndarray], dict[str, Tensor]]) -> np.ndarray:
        """Return (K, width) float32 vectors of items outside the network, in evaluation mode.

        Args:
            present_K: (K,) bool, which items have the modality; the others get zeros.
            load: as for the class, from the items' rows.
        """
        vectors_KW = np.zeros((len(present_K), self.width), np.float32)
        self.eval()
        known = np.flatnonzero(present_K)
        for start in range(0, len(known), BLOCK):
            rows = known[start : start + BLOCK]
            inputs = {name: value.to(self.present.device) for name, value in load(rows).items()}
            vectors_KW[rows] = self.encoder(**inputs).float().cpu().numpy()
        return vectors_KW

    def remember(self, vectors_NW: Tensor) -> None:
        """Cache the encoder's output of all N items for evaluation mode; the encoder is no longer trained."""
        self.register_buffer("remembered", vectors_NW.detach().to(self.present.device), persistent=False)
        self._remembers = True

    def append(self, present_K: np.ndarray, vectors_KW: np.ndarray) -> None:
        """Append K items.

        Raises:
            RuntimeError: if the existing items have not been cached by :meth:`remember`.
        """
        if not self._remembers:
            raise RuntimeError("call remember() before adding items")
        there = self.get_buffer("remembered")
        added = torch.from_numpy(vectors_KW).to(there)
        self.register_buffer("remembered", torch.cat([there, added]), persistent=False)
        super().append(present_K, vectors_KW)


def _follow_loaded_basis(modality: nn.Module, _: object) -> None:
    assert isinstance(modality, FrozenFeatures)
    modality.follow_loaded_basis()


def transformed(vectors_KW: np.ndarray, mean: Tensor, basis: Tensor) -> Tensor:
    """Return (K, width) centred and whitened vectors, block by block."""
    starts = range(0, max(len(vectors_KW), 1), BLOCK)
    return torch.cat([_apply(torch.tensor(vectors_KW[i : i + BLOCK]), mean, basis) for i in starts])


def _apply(rows_KW: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    centred = rows_KW.float() - mean
    return centred @ basis if basis.ndim == 2 else centred * basis


def _rows_of(parts: list[np.ndarray], rows_K: np.ndarray) -> np.ndarray:
    """Return (K, W) rows of concatenated arrays."""
    if len(parts) == 1:
        return parts[0][rows_K]
    found = np.empty((len(rows_K), parts[0].shape[1]), parts[0].dtype)
    first = 0
    for part in parts:
        here = (rows_K >= first) & (rows_K < first + len(part))
        found[here] = part[rows_K[here] - first]
        first += len(part)
    return found
