"""Item relations: precomputed groups and neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from crossrec.data.neighbours import Neighbours
from crossrec.model.config import ModelConfig
from crossrec.model.neighbours import PREFIX as NEIGHBOURS
from crossrec.model.neighbours import align_neighbours
from crossrec.types import ABSENT, InputError

PREFIX = "items.modalities."
"""Prefix of the modalities' names in a network's weights."""

CODES: Mapping[str, int | bool] = {"ids.table": ABSENT, "ids.trained": False}
"""Names of the weights of items' semantic ids -> value for a new item."""


@dataclass(frozen=True)
class ItemRelations:
    """Groups and neighbours of the items, for the parts of a model that use them.

    Args:
        groups: (N,) labels; None if the model has no groups.
        neighbours: most similar items of each item; None if ids are not smoothed.
        trained: (N,) bool, items with a trained id embedding; None for those with a training click.
    """

    groups: np.ndarray | None = None
    neighbours: Neighbours | None = None
    trained: np.ndarray | None = None

    @classmethod
    def from_checkpoint(
        cls, tensors: Mapping[str, Tensor], config: ModelConfig, weights: Path
    ) -> ItemRelations:
        """Return the relations saved with a network's weights; no training log is needed.

        Args:
            tensors: name -> weight of the network.
            config: configuration of the network.
            weights: file that the tensors are from, for the message.

        Raises:
            InputError: if the weights are of another model.
        """
        groups = neighbours = None
        if config.group_name is not None:
            (groups,) = _arrays(tensors, weights, f"{config.group_name}.labels")
        if config.smoothing is not None:
            items, shares = _arrays(tensors, weights, f"{config.id_name}.mixed", f"{config.id_name}.shares")
            neighbours = Neighbours(np.where(shares > 0, items, ABSENT)[:, 1:], shares[:, 1:])
        trained = tensors.get(f"{PREFIX}{config.id_name}.trained")
        return cls(groups, neighbours, None if trained is None else trained.numpy())


def _arrays(tensors: Mapping[str, Tensor], weights: Path, *names: str) -> list[np.ndarray]:
    for name in names:
        if PREFIX + name not in tensors:
            raise InputError(
                f"{weights} does not fit this model: {PREFIX + name} is missing; it was saved with "
                "another configuration or by another version of crossrec"
            )
    return [tensors[PREFIX + name].numpy() for name in names]


def _per_item(tensors: Mapping[str, Tensor]) -> dict[str, int | bool]:
    """Return the weights with one row per item -> value for a new item, besides those of smoothing."""
    found: dict[str, int | bool] = dict(CODES) if all(name in tensors for name in CODES) else {}
    for name in _learned(tensors):
        if f"{name}.trained" in tensors:  # written since version 0.2
            found[f"{name}.trained"] = False
        if f"{name}.labels" in tensors:  # a group, whose embeddings are not per item
            found[f"{name}.labels"] = ABSENT
        else:
            found[f"{name}.embedding.weight"] = 0
        if f"{name}.start" in tensors:  # of a bounded embedding
            found[f"{name}.start"] = 0
    return found


def _learned(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes of the embeddings of ids and groups, whatever their names."""
    end = ".embedding.weight"
    found = [name.removesuffix(end) for name in tensors if name.startswith(PREFIX) and name.endswith(end)]
    # Embeddings inside of an encoder are deeper.
    return [prefix for prefix in found if "." not in prefix.removeprefix(PREFIX)]


def n_item_rows(tensors: Mapping[str, Tensor]) -> int | None:
    """Return N, the items of a network's weights; None where no weight has one row per item."""
    rows = (len(tensors[name]) for name in (*_per_item(tensors), f"{NEIGHBOURS}share") if name in tensors)
    return next(rows, None)


def align_rows(tensors: Mapping[str, Tensor], rows_N: np.ndarray) -> dict[str, Tensor]:
    """Return a network's weights for a catalogue in another order or with other items; item vectors stay.

    A smoothed id becomes a plain embedding, since its neighbours may be gone.

    Args:
        tensors: name -> weight.
        rows_N: for each item of the catalogue its row in the weights, ``ABSENT`` for a new item, which gets
            no trained embedding and is in no group.
    """
    found = dict(tensors)
    for prefix in _learned(tensors):
        mixed, shares = found.get(f"{prefix}.mixed"), found.get(f"{prefix}.shares")
        if mixed is not None and shares is not None:
            table = found[f"{prefix}.embedding.weight"]
            own = torch.arange(len(rows_N))[:, None].expand(-1, mixed.shape[1])
            found[f"{prefix}.embedding.weight"] = F.embedding_bag(
                mixed, table, per_sample_weights=shares.to(table.dtype), mode="sum"
            )
            found[f"{prefix}.mixed"] = own.contiguous()
            found[f"{prefix}.shares"] = (torch.arange(mixed.shape[1]) == 0).to(shares).repeat(len(own), 1)
    rows = torch.from_numpy(rows_N)
    for name, nothing in _per_item(tensors).items():
        table = found[name]
        moved = table.new_full((len(rows), *table.shape[1:]), nothing)
        moved[rows != ABSENT] = table[rows[rows != ABSENT]]
        found[name] = moved
    return {**found, **align_neighbours(tensors, rows_N)}
