"""Item groups: one learned embedding per group of ``segments``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.config import ComponentOptions
from crossrec.model.modalities.base import ItemModality, ModalityInputs
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import Modality
from crossrec.model.whitening import Whitening
from crossrec.types import ABSENT


class ItemGroup(ItemModality):
    """One learned embedding per item group of the section ``segments``."""

    learned = seeded = True

    class Options(ComponentOptions):
        """One learned embedding per item group of the section ``segments``."""

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return the embeddings.

        Raises:
            ValueError: if the groups are not given.
        """
        if inputs.groups is None:
            raise ValueError("a modality of type group needs the items' groups")
        return ItemGroupEmbedding(inputs.groups, inputs.width, inputs.id_std)

    def parameters(self, width: int, whiten: Whitening, n_items: int) -> int:
        """Return 0: there are few groups."""
        return 0


class ItemGroupEmbedding(ItemIdEmbedding):
    """One learned embedding per item group; items in no group, and those added later, have none.

    Args:
        labels: (N,) numbers of groups from 0; ``ABSENT`` for an item in no group.
        width: D.
        std: as in :class:`ItemIdEmbedding`.
    """

    labels: Tensor

    def __init__(self, labels: np.ndarray, width: int, std: float | None = None) -> None:
        known = labels != ABSENT
        super().__init__(known, width, std, rows=max(int(labels.max(initial=ABSENT)) + 1, 1))
        # Saved with the model, which may be used without computing the groups again.
        self.register_buffer("labels", torch.from_numpy(np.asarray(labels, np.int64)))

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width)."""
        return self.embedding(self.labels[items_K.clamp(max=len(self.labels) - 1)].clamp(min=0))
