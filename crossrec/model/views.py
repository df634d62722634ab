"""Augmented views of items in the model: a training lookup may take one, evaluation never does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.model.modalities import RESIDENT_BYTES, FrozenFeatures, TrainedEncoder

if TYPE_CHECKING:
    from crossrec.augment.base import Schedule
    from crossrec.encoders.base import Encoder
    from crossrec.model.whitening import FeatureMap, Whitening

CHUNK = 4096
"""Vectors that are looked through at a time."""


@dataclass(frozen=True)
class ViewVectors:
    """What a frozen encoder makes of augmented views.

    Args:
        vectors_TW: (T, W) encoder output, usually memory-mapped; a row of zeros is no view.
        items_T: (T,) catalogue index of each, ascending.
    """

    vectors_TW: np.ndarray
    items_T: np.ndarray

    @cached_property
    def real_rows(self) -> np.ndarray:
        """Rows that hold a view."""
        starts = range(0, len(self.vectors_TW), CHUNK)
        found = [self.vectors_TW[start : start + CHUNK].any(axis=1) for start in starts]
        return np.flatnonzero(np.concatenate(found)) if found else np.zeros(0, np.int64)


class ViewChoice(nn.Module):
    """Draws for each item whether it is shown as the original or as a view, and which, each view alike.

    A draw is a function of seed, stream, progress and item. The progress is another one in each step, so that
    all lookups of an item in a step see the same, whatever they are looked up with, on whichever process.

    Args:
        share: chance of a view.
        schedule: multiplies the share as the training goes on.
        seed: of the experiment.
        stream: what is drawn for; choices of the same stream show an item as a view together.
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
        """Tells the share of the training that is done, 0 to 1."""
        self.chance.fill_(self.share * self.schedule.at(progress))
        digest = hashlib.blake2b(repr((self.seed, self.stream, progress)).encode(), digest_size=8).digest()
        self.salt.fill_(int.from_bytes(digest, "little", signed=True))

    def forward(self, items_K: Tensor, counts_K: Tensor) -> Tensor:
        """Chooses for K lookups.

        Args:
            items_K: (K,) int64 catalogue indices.
            counts_K: (K,) int64, views that each item has.

        Returns:
            (K,) int64 number of a view, -1 for the original; an item without views keeps its original.
        """
        picked_K = torch.minimum((_uniform(items_K, self.salt + 1) * counts_K).long(), counts_K - 1)
        return torch.where(_uniform(items_K, self.salt) < self.chance, picked_K, -1)


def _uniform(items_K: Tensor, salt: Tensor) -> Tensor:
    """(K,) float32 in [0, 1), a hash of salt and item.

    Source:
        Steele et al. 2014, "Fast splittable pseudorandom number generators": SplitMix64, here of an item
        instead of a counter, in int64, whose products wrap around and whose shifts keep the sign.
    """
    mixed_K = items_K * -0x61C8864680B583EB + salt
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        mixed_K = (mixed_K ^ ((mixed_K >> shift) & ((1 << (64 - shift)) - 1))) * factor
    mixed_K = mixed_K ^ ((mixed_K >> 31) & ((1 << 33) - 1))
    return ((mixed_K >> 40) & 0xFFFFFF).float() * 2.0**-24


class ViewedFeatures(FrozenFeatures):
    """Frozen vectors of items, of which a training lookup may give a view's instead.

    Views are centred and whitened as the originals are, so that evaluation sees what it would see without
    them.

    Args:
        vectors: (N, W) of the originals.
        present: (N,) bool.
        views: of some items.
        choice: draws original or view.
        components: as of :class:`FrozenFeatures`.
        met: what the augmenters counted, where all views were made for this network.
    """

    starts: Tensor
    counts: Tensor

    def __init__(
        self,
        vectors: np.ndarray,
        present: np.ndarray,
        views: ViewVectors,
        choice: ViewChoice,
        *,
        components: Whitening | FeatureMap,
        met: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(vectors, present, components=components)
        self.choice, self.met = choice, dict(met or {})
        self._rows = views.real_rows
        counts_N = np.bincount(views.items_T[self._rows], minlength=len(present))
        self.register_buffer("counts", torch.from_numpy(counts_N), persistent=False)
        self.register_buffer("starts", torch.from_numpy(np.cumsum(counts_N) - counts_N), persistent=False)
        self._mapped_views: np.ndarray | None = None
        if len(self._rows) * self.width * 4 <= RESIDENT_BYTES:
            blocks = [
                self.transform(torch.tensor(views.vectors_TW[self._rows[i : i + CHUNK]]))
                for i in range(0, len(self._rows), CHUNK)
            ]
            table = torch.cat(blocks) if blocks else torch.zeros(0, self.width)
            self.register_buffer("view_vectors", table, persistent=False)
        else:
            self._mapped_views = views.vectors_TW

    def forward(self, items_K: Tensor) -> Tensor:
        """(K, width) vectors; the originals' in evaluation."""
        originals_KW = super().forward(items_K)
        if not self.training or not len(self._rows):
            return originals_KW
        chosen_K = self.choice(items_K, self.counts[items_K])
        viewed_K = chosen_K >= 0
        places_K = (self.starts[items_K] + chosen_K).where(viewed_K, 0)
        if self._mapped_views is None:
            return self.get_buffer("view_vectors")[places_K].where(viewed_K.unsqueeze(1), originals_KW)
        wanted = self._rows[places_K[viewed_K].cpu().numpy()]
        raw = torch.tensor(self._mapped_views[wanted]).to(items_K.device)
        return originals_KW.index_put((viewed_K.nonzero().squeeze(1),), self.transform(raw))


class ViewedEncoder(TrainedEncoder):
    """An encoder inside the training step that may be shown a view of an item.

    Args:
        encoder: as of :class:`TrainedEncoder`.
        load: gives the encoder's input for (K,) items and (K,) numbers of views, -1 for the original.
        counts: (N,) views that each item has.
        choice: draws original or view.
        present: (N,) bool.
        width: the encoder's output size.
        met: what the augmenters counted, where all views were made for this network.
    """

    counts: Tensor

    def __init__(
        self,
        encoder: Encoder,
        load: Callable[[np.ndarray, np.ndarray], dict[str, Tensor]],
        counts: np.ndarray,
        choice: ViewChoice,
        present: np.ndarray,
        width: int,
        met: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(encoder, lambda rows: load(rows, np.full(len(rows), -1)), present, width)
        self.choice, self.met = choice, dict(met or {})
        self._load_views = load
        self.register_buffer("counts", torch.from_numpy(counts.astype(np.int64)), persistent=False)

    def inputs(self, rows_K: Tensor) -> dict[str, Tensor]:
        """The encoder's input for K items; of the originals in evaluation."""
        if not self.training:
            return super().inputs(rows_K)
        chosen_K = self.choice(rows_K, self.counts[rows_K])
        return self._load_views(rows_K.cpu().numpy(), chosen_K.cpu().numpy())
