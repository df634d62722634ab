"""Modalities with augmented variants: lookups in training may read a variant, evaluation never does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.augment.base import Schedule
from crossrec.encoders.base import Encoder
from crossrec.model.modalities.layers import RESIDENT_BYTES, FrozenFeatures, TrainableEncoder
from crossrec.model.whitening import FeatureMap, Whitening

CHUNK = 4096
"""Number of vectors searched at a time."""


@dataclass(frozen=True)
class VariantVectors:
    """Vectors of augmented variants from a frozen encoder.

    Args:
        vectors_TW: (T, W) encoder output, usually memory-mapped; a row of zeros is no variant.
        items_T: (T,) catalogue index of each, ascending.
    """

    vectors_TW: np.ndarray
    items_T: np.ndarray

    @cached_property
    def real_rows(self) -> np.ndarray:
        """Return the rows that contain a variant."""
        starts = range(0, len(self.vectors_TW), CHUNK)
        found = [self.vectors_TW[start : start + CHUNK].any(axis=1) for start in starts]
        return np.flatnonzero(np.concatenate(found)) if found else np.zeros(0, np.int64)


class VariantChoice(nn.Module):
    """Draw for each item its original or one of its variants, each variant with equal probability.

    A draw is a function of seed, stream, progress and item. Progress changes with each step, so that all
    lookups of an item in a step see the same, in any batch, on any process.

    Args:
        share: probability of a variant.
        schedule: factor of the share over the training.
        seed: seed of the experiment.
        stream: name of the random stream; choices with the same name agree on each item.
    """

    chance: Tensor
    salt: Tensor

    def __init__(self, share: float, schedule: Schedule, seed: int, stream: str) -> None:
        super().__init__()
        self.share, self.schedule, self.seed, self.stream = share, schedule, seed, stream
        # Tensors, so that a compiled graph does not depend on their values.
        self.register_buffer("chance", torch.tensor(0.0), persistent=False)
        self.register_buffer("salt", torch.tensor(0, dtype=torch.int64), persistent=False)
        self.set_progress(0.0)

    def set_progress(self, progress: float) -> None:
        """Set the finished share of the training, 0 to 1."""
        self.chance.fill_(self.share * self.schedule.at(progress))
        digest = hashlib.blake2b(repr((self.seed, self.stream, progress)).encode(), digest_size=8).digest()
        self.salt.fill_(int.from_bytes(digest, "little", signed=True))

    def forward(self, items_K: Tensor, counts_K: Tensor) -> Tensor:
        """Choose for K lookups.

        Args:
            items_K: (K,) int64 catalogue indices.
            counts_K: (K,) int64, number of variants of each item.

        Returns:
            (K,) int64 number of a variant, -1 for the original; an item without variants keeps its original.
        """
        picked_K = torch.minimum((_uniform(items_K, self.salt + 1) * counts_K).long(), counts_K - 1)
        return torch.where(_uniform(items_K, self.salt) < self.chance, picked_K, -1)


def _uniform(items_K: Tensor, salt: Tensor) -> Tensor:
    """Return (K,) float32 in [0, 1), a hash of salt and item.

    Source:
        Steele et al. 2014, "Fast splittable pseudorandom number generators": SplitMix64, here of an item
        instead of a counter, in int64, whose products wrap around and whose shifts keep the sign.
    """
    mixed_K = items_K * -0x61C8864680B583EB + salt
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        mixed_K = (mixed_K ^ ((mixed_K >> shift) & ((1 << (64 - shift)) - 1))) * factor
    mixed_K = mixed_K ^ ((mixed_K >> 31) & ((1 << 33) - 1))
    return ((mixed_K >> 40) & 0xFFFFFF).float() * 2.0**-24


class VariantFeatures(FrozenFeatures):
    """Frozen features in which a training lookup may return a variant's vector.

    Variants are centred and whitened with the statistics of the originals, so that evaluation is the same as
    without variants.

    Args:
        vectors: (N, W) vectors of the originals.
        present: (N,) bool, which items have the modality.
        variants: variants of some items.
        choice: random choice of original or variant.
        components: as in :class:`FrozenFeatures`.
        met: counts of the augmenters, if all variants were made for this network.
    """

    starts: Tensor
    counts: Tensor

    def __init__(
        self,
        vectors: np.ndarray,
        present: np.ndarray,
        variants: VariantVectors,
        choice: VariantChoice,
        *,
        components: Whitening | FeatureMap,
        met: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(vectors, present, components=components)
        self.choice, self.met = choice, dict(met or {})
        self._rows = variants.real_rows
        counts_N = np.bincount(variants.items_T[self._rows], minlength=len(present))
        self.register_buffer("counts", torch.from_numpy(counts_N), persistent=False)
        self.register_buffer("starts", torch.from_numpy(np.cumsum(counts_N) - counts_N), persistent=False)
        self._mapped_variants: np.ndarray | None = None
        if len(self._rows) * self.width * 4 <= RESIDENT_BYTES:
            blocks = [
                self.transform(torch.tensor(variants.vectors_TW[self._rows[i : i + CHUNK]]))
                for i in range(0, len(self._rows), CHUNK)
            ]
            table = torch.cat(blocks) if blocks else torch.zeros(0, self.width)
            self.register_buffer("view_vectors", table, persistent=False)
        else:
            self._mapped_variants = variants.vectors_TW

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width) vectors; the originals' in evaluation."""
        originals_KW = super().forward(items_K)
        if not self.training or not len(self._rows):
            return originals_KW
        chosen_K = self.choice(items_K, self.counts[items_K])
        varied_K = chosen_K >= 0
        places_K = (self.starts[items_K] + chosen_K).where(varied_K, 0)
        if self._mapped_variants is None:
            return self.get_buffer("view_vectors")[places_K].where(varied_K.unsqueeze(1), originals_KW)
        wanted = self._rows[places_K[varied_K].cpu().numpy()]
        raw = torch.tensor(self._mapped_variants[wanted]).to(items_K.device)
        return originals_KW.index_put((varied_K.nonzero().squeeze(1),), self.transform(raw))


class VariantEncoder(TrainableEncoder):
    """A trainable encoder that may read a variant of an item in training.

    Args:
        encoder: as in :class:`TrainableEncoder`.
        load: function from (K,) items and (K,) numbers of variants, -1 for the original, to the encoder's
            input.
        counts: (N,) number of variants of each item.
        choice: random choice of original or variant.
        present: (N,) bool, which items have the modality.
        width: output size of the encoder.
        met: counts of the augmenters, if all variants were made for this network.
    """

    counts: Tensor

    def __init__(
        self,
        encoder: Encoder,
        load: Callable[[np.ndarray, np.ndarray], dict[str, Tensor]],
        counts: np.ndarray,
        choice: VariantChoice,
        present: np.ndarray,
        width: int,
        met: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(encoder, lambda rows: load(rows, np.full(len(rows), -1)), present, width)
        self.choice, self.met = choice, dict(met or {})
        self._load_variants = load
        self.register_buffer("counts", torch.from_numpy(counts.astype(np.int64)), persistent=False)

    def inputs(self, rows_K: Tensor) -> dict[str, Tensor]:
        """Return the encoder's input for K items; of the originals in evaluation."""
        if not self.training:
            return super().inputs(rows_K)
        chosen_K = self.choice(rows_K, self.counts[rows_K])
        return self._load_variants(rows_K.cpu().numpy(), chosen_K.cpu().numpy())
