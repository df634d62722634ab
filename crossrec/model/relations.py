"""What the model knows of how items hang together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossrec.data.neighbours import Neighbours
from crossrec.model.config import ModelConfig
from crossrec.types import ABSENT, InputError

_MODALITIES = "items.modalities."
"""What the names of a network's modalities begin with among its weights."""


@dataclass(frozen=True)
class ItemRelations:
    """Groups and neighbours, for the parts of a model that know items by them.

    Args:
        groups: (N,) labels; None where the model has no groups.
        neighbours: the items most like each item; None where ids are not smoothed.
    """

    groups: np.ndarray | None = None
    neighbours: Neighbours | None = None

    @classmethod
    def saved(cls, weights: Path, config: ModelConfig) -> ItemRelations:
        """Those that were saved with the weights of a network, which need no training log any more.

        Raises:
            InputError: the weights are of another model.
        """
        groups = neighbours = None
        if config.item_group:
            (groups,) = _tensors(weights, "group.labels")
        if config.smoothing is not None:
            items, shares = _tensors(weights, "id.mixed", "id.shares")
            neighbours = Neighbours(np.where(shares > 0, items, ABSENT)[:, 1:], shares[:, 1:])
        return cls(groups, neighbours)


def _tensors(weights: Path, *names: str) -> list[np.ndarray]:
    from safetensors import safe_open

    with safe_open(weights, "numpy") as file:
        there = set(file.keys())
        for name in names:
            if _MODALITIES + name not in there:
                raise InputError(
                    f"{weights} does not fit this model: {_MODALITIES + name} is missing; it was saved with "
                    "another configuration or by another version of crossrec"
                )
        return [file.get_tensor(_MODALITIES + name) for name in names]
