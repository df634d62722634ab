"""What the model knows of how items hang together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crossrec.data.neighbours import Neighbours
from crossrec.model.config import ModelConfig
from crossrec.types import ABSENT

_IN_WEIGHTS = "items.modalities."


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
        """Those that were saved with the weights of a network, which need no training log any more."""
        from safetensors import safe_open

        groups = neighbours = None
        with safe_open(weights, "numpy") as file:
            if config.item_group:
                groups = file.get_tensor(f"{_IN_WEIGHTS}group.labels")
            if config.smoothing is not None:
                items, shares = (file.get_tensor(f"{_IN_WEIGHTS}id.{name}") for name in ("mixed", "shares"))
                neighbours = Neighbours(np.where(shares > 0, items, ABSENT)[:, 1:], shares[:, 1:])
        return cls(groups, neighbours)
