"""Lists for histories: which items may be listed, how they are scored, and what reorders them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from crossrec.rerank.recommender import RerankedRecommender
from crossrec.runtime.ranking import top_k
from crossrec.serving.ranking import AllowedItems
from crossrec.types import InputError, Sequences, TopK

if TYPE_CHECKING:
    from crossrec.rerank.recommender import RerankConfig
    from crossrec.serving.filters import Filter
    from crossrec.serving.items import ServedItems
    from crossrec.serving.model import ServedModel


@dataclass(frozen=True)
class ListOptions:
    """What lists should be like.

    Args:
        k: places.
        rerank: rerankers over the best candidates; None for the model's own order.
        filters: tests that every listed item passes.
        context: column -> value that every listed item has.
        exclude_seen: leave out the history's items.
        modalities: what the model may look at; all when None.

    Raises:
        InputError: k is not at least 1.
    """

    k: int
    rerank: RerankConfig | None = None
    filters: tuple[Filter, ...] = ()
    context: Mapping[str, str | float] | None = None
    exclude_seen: bool = True
    modalities: Collection[str] | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k={self.k}: ask for at least one item")


def rank(model: ServedModel, items: ServedItems, histories: Sequences, options: ListOptions) -> TopK:
    """(B, k) lists; items are filtered before the best are taken, so that lists are full where they can be.

    Raises:
        InputError: a filter, the context, a reranker or the modalities don't fit catalogue and model.
    """
    tiles = model.view(options.modalities)
    allowed_N = items.allowed(options.filters, options.context)
    mask_N = None if allowed_N is None else torch.from_numpy(allowed_N).to(model.recommender.device)
    own = AllowedItems(tiles, mask_N)
    exclude = histories if options.exclude_seen else None
    if options.rerank is None:
        return own.recommend(histories, options.k, exclude)
    reranked = RerankedRecommender(
        own,
        items.rerankers(options.rerank),
        candidates=options.rerank.candidates,
        name=model.recommender.name,
        device=model.recommender.device,
    )
    return reranked.recommend(histories, options.k, exclude)


def most_clicked(items: ServedItems, k: int, filters: Sequence[Filter]) -> TopK:
    """(1, k) the items with the most training clicks, ties broken by the lower index."""
    counts_1N = torch.from_numpy(np.asarray(items.train_counts, dtype=np.float32))[None].clone()
    allowed_N = items.allowed(filters, None)
    if allowed_N is not None:
        counts_1N[:, torch.from_numpy(~allowed_N)] = -torch.inf
    return top_k(counts_1N, k)


def nearest(vectors_ND: np.ndarray, present_N: np.ndarray, row: int, k: int) -> TopK:
    """(1, k) the items whose vectors have the highest cosine with that of one item, which is left out.

    Args:
        vectors_ND: of any length.
        present_N: (N,) bool, which items have a vector.
        row: the item.
        k: places.
    """
    length_N = np.maximum(np.linalg.norm(vectors_ND, axis=1), np.finfo(np.float32).tiny)
    cosine_N = (vectors_ND @ vectors_ND[row]) / (length_N * length_N[row])
    cosine_N[~present_N] = -np.inf
    cosine_N[row] = -np.inf
    return top_k(torch.from_numpy(cosine_N.astype(np.float32))[None], k)


def as_sequences(
    histories: Sequence[Sequence[int]], times: Sequence[Sequence[float]] | None = None
) -> Sequences:
    """Histories of catalogue indices, with the times of the clicks where they are given.

    Raises:
        InputError: a history has another number of times than of clicks.
    """
    found = Sequences.from_lists(histories)
    if times is None:
        return found
    for clicks, own in zip(histories, times, strict=True):
        if len(clicks) != len(own):
            raise InputError(f"a history of {len(clicks)} clicks came with {len(own)} times")
    flat = np.asarray([time for own in times for time in own], dtype=np.int64)
    return Sequences(found.offsets, found.items, flat)
