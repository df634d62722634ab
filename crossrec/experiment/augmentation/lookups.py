"""Synthetic items in the network: some of training's look-ups of an item give a synthetic one's features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.model.variant_modalities import VariantChoice

if TYPE_CHECKING:
    from crossrec.augment.base import Schedule
    from crossrec.augment.generators.application import SyntheticItems
    from crossrec.model.modalities import FrozenFeatures


STREAM = "synthetic"
"""One for all modalities, so that an item is synthetic as a whole."""


class SyntheticLookups(nn.Module):
    """Puts synthetic items' vectors in the place of some of a modality's, in training alone.

    It hangs on the modality as a forward hook and holds nothing that is saved: a checkpoint is the same with
    and without, and evaluation, which loads one, never has it.

    Args:
        found: synthetic items of this modality, as its encoder would see them.
        modality: maps them as it maps the real items.
        share: chance that an enlarged item is synthetic in a step: in all its modalities that have synthetic
            items, or in none.
        schedule: multiplies the share as training goes on.
        seed: of the experiment.
    """

    counts: Tensor
    starts: Tensor
    vectors: Tensor

    def __init__(
        self, found: SyntheticItems, modality: FrozenFeatures, share: float, schedule: Schedule, seed: int
    ) -> None:
        super().__init__()
        self.choice = VariantChoice(share, schedule, seed, STREAM)
        n_items, (n_enlarged, each, width) = len(modality.present), found.vectors.shape
        counts, starts = np.zeros(n_items, np.int64), np.zeros(n_items, np.int64)
        counts[found.items] = each
        starts[found.items] = np.arange(n_enlarged) * each
        raw = torch.from_numpy(np.ascontiguousarray(found.vectors, np.float32)).reshape(-1, width)
        self.register_buffer("counts", torch.from_numpy(counts), persistent=False)
        self.register_buffer("starts", torch.from_numpy(starts), persistent=False)
        self.register_buffer("vectors", modality.transform(raw.to(modality.mean.device)), persistent=False)

    def forward(self, items_K: Tensor, originals_KW: Tensor) -> Tensor:
        """(K, width) vectors, of which some are synthetic while the network trains."""
        if not self.training:
            return originals_KW
        chosen_K = self.choice(items_K, self.counts[items_K])
        synthetic_K = chosen_K >= 0
        places_K = (self.starts[items_K] + chosen_K).where(synthetic_K, 0)
        return self.vectors[places_K].where(synthetic_K.unsqueeze(1), originals_KW)

    def attach(self, modality: FrozenFeatures) -> None:
        """Hangs this on the modality whose vectors it replaces."""
        modality.add_module("synthetic", self.train(modality.training))
        modality.register_forward_hook(_replace)


def _replace(modality: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    found: Tensor = modality.get_submodule("synthetic")(inputs[0], output)
    return found
