"""Contrastive terms of a step over all processes.

Each process computes the vectors of its own histories and items. They are exchanged without gradient, and
each process computes the whole loss, whose gradient reaches its own vectors alone: added up over
processes, that is the gradient of one loss over all. Nothing has to be exchanged backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from crossrec.losses.terms.base import ItemSample, TermInputs, ViewSample
from crossrec.losses.terms.term_set import TermSet
from crossrec.model.network import SequentialNetwork
from crossrec.model.sequence.base import History
from crossrec.runtime import distributed
from crossrec.training.windows import Batch, ViewBatch
from crossrec.types import InputError

VectorsOf = Callable[[Tensor], Tensor]
"""Function from (B, L) catalogue indices to (B, L, D) item vectors."""


@dataclass(frozen=True)
class Contrast:
    """Values of the terms in a part of a step, the same on every process.

    Args:
        values: name -> () mean over all processes' parts.
        clicks: targets of all processes' parts.
    """

    values: dict[str, Tensor]
    clicks: int


def check_terms(terms: TermSet, network: SequentialNetwork) -> None:
    """Check that the model has what the terms compare.

    Raises:
        InputError: if modalities are to be compared, and the model has only one.
    """
    found = list(network.items.modalities)
    if terms.most_items and len(found) < 2:
        raise InputError(
            f"contrastive: modalities of items are compared, but the model has only {found}; give it two of "
            "model.text, model.image, model.item_id and other modalities, or leave the term out"
        )


def contrast(
    network: SequentialNetwork,
    terms: TermSet,
    batch: Batch,
    vectors_of: VectorsOf,
    clicks: int,
    progress: float,
) -> Contrast:
    """Compute the terms' values; every process must call it for the same parts of a step.

    Args:
        network: network that computes vectors of views and of items.
        terms: contrastive terms.
        batch: this process's part, with views if terms need them.
        vectors_of: function that computes or looks up item vectors.
        clicks: number of targets in this process's part; 0 if it has no history.
        progress: share of the training done.

    Raises:
        ValueError: if a term needs views, and the batch has none.
    """
    if terms.needs_views and batch.views is None:
        raise ValueError("a contrastive term compares views, but the batches make none")
    device = batch.items_BL.device
    # Generators are restored, so that a term that is only measured changes no dropout.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        with torch.set_grad_enabled(torch.is_grad_enabled() and terms.active(progress)):
            views = None if batch.views is None else _views(network, batch.views, vectors_of)
            items = None
            if terms.most_items:
                items = _items(network, _clicked(batch, clicks), terms.most_items)
        with torch.autocast(device.type, enabled=False):
            values = terms(TermInputs(views=views, items=items), progress)
    return Contrast(values, sum(distributed.gather_objects(clicks)))


def _views(network: SequentialNetwork, views: ViewBatch, vectors_of: VectorsOf) -> ViewSample | None:
    """Compute vectors of both views of all processes' histories; None if there are no histories."""
    if len(views.users_B):
        history = History(vectors_of(views.items_VL), views.lengths_V, views.times_VL)
        first_BD, second_BD = network(history).float().chunk(2)
    else:
        # The width is that of the others, which a process without histories need not know.
        first_BD = second_BD = torch.zeros(0, 0, device=views.users_B.device)
    users_B = _exchange(views.users_B)
    return ViewSample(_exchange(first_BD), _exchange(second_BD), users_B) if len(users_B) else None


def _clicked(batch: Batch, clicks: int) -> Tensor:
    """Return (K,) distinct items of a part; none if it stands for no history."""
    if not clicks:
        return batch.targets_T
    real_BL = torch.arange(batch.items_BL.shape[1], device=batch.items_BL.device) < batch.lengths_B[:, None]
    return torch.cat([batch.items_BL[real_BL], batch.targets_T]).unique()


def _items(network: SequentialNetwork, own: Tensor, most: int) -> ItemSample | None:
    """Compute features of the distinct items of all processes' parts, or of some, drawn for each step."""
    items_K = _exchange(own).unique()
    if not len(items_K):
        return None
    if len(items_K) > most:
        # The main process's seed, since that of every process would be another.
        seed = distributed.gather_objects(torch.initial_seed())[0]
        order = torch.randperm(len(items_K), generator=torch.Generator().manual_seed(seed % 2**63))
        items_K = items_K[order[:most].sort().values.to(items_K.device)]
    features_KMD, present_KM = network.items.projected(items_K[distributed.shard(len(items_K))])
    return ItemSample(_exchange(features_KMD.float()), _exchange(present_KM))


def _exchange(own: Tensor) -> Tensor:
    """Gather rows of all processes in order of rank; gradients reach only this process's rows."""
    if distributed.world_size() == 1:
        return own
    parts = [torch.from_numpy(rows) for rows in distributed.gather_objects(own.detach().cpu().numpy())]
    moved = [own if rank == distributed.rank() else part.to(own.device) for rank, part in enumerate(parts)]
    return torch.cat([part for part in moved if len(part)] or [own])


def compute_item_vectors(items_BL: Tensor, network: SequentialNetwork) -> Tensor:
    """Compute (B, L, D) item vectors, once per distinct item."""
    needed, where_BL = items_BL.unique(return_inverse=True)
    return F.embedding(where_BL, network.item_vectors(needed))
