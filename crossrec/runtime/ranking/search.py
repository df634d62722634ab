"""From vectors, or from a recommender's scores, to lists: some users by some items at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.runtime.ranking import seen
from crossrec.runtime.ranking.selection import BLOCK, best_keys, empty, top_k, write
from crossrec.types import Recommender, Sequences, TopK

SCORES_AT_ONCE = 1 << 26
"""Most scores that ``recommend_by_score`` asks for at a time (256 MB), if more than one history's."""


@dataclass(frozen=True)
class Tiles:
    """How many scores exist at once.

    Args:
        users: rows of a tile.
        scores: in a tile at most; the catalogue is cut accordingly.
    """

    users: int
    scores: int

    @classmethod
    def suited_to(cls, device: torch.device) -> Tiles:
        """Small enough for a CPU's last cache (16 MB), large elsewhere (256 MB)."""
        return cls(256, 1 << 22) if device.type == "cpu" else cls(1024, 1 << 26)

    def items(self, n_items: int) -> int:
        """Columns of a tile: the catalogue in equal parts, each of whole blocks."""
        most = max(self.scores // self.users, BLOCK)
        parts = max(-(-n_items // most), 1)
        return max(-(-n_items // (parts * BLOCK)), 1) * BLOCK


@torch.no_grad()
def rank_by_vectors(
    queries_BD: Tensor, vectors_ND: Tensor, k: int, exclude: Sequences | None, tiles: Tiles | None = None
) -> TopK:
    """The k items with the largest dot products for each query, exactly, ties by the lower index.

    Scores exist one tile at a time, in memory that is kept: on a CPU, writing to fresh pages costs more
    than the matrix product. So memory beside arguments and lists is a few tiles', whatever B and N.

    Args:
        queries_BD: float32.
        vectors_ND: float32, on the same device.
        k: length of the lists; one that runs out of items ends in ``ABSENT``.
        exclude: B rows of items that must not appear.
        tiles: their size; what suits the device when None.

    Raises:
        ValueError: the shapes don't fit, an excluded item is outside the catalogue, or a score is NaN.
    """
    if queries_BD.shape[1:] != vectors_ND.shape[1:]:
        raise ValueError(f"queries {tuple(queries_BD.shape)} don't fit items {tuple(vectors_ND.shape)}")
    if exclude is not None:
        seen.check(exclude, len(queries_BD), len(vectors_ND))
    lists = empty(len(queries_BD), k)
    if not len(vectors_ND):
        return lists
    tiles = tiles or Tiles.suited_to(queries_BD.device)
    width = tiles.items(len(vectors_ND))
    firsts = list(range(0, len(vectors_ND), width))
    memory = queries_BD.new_empty(min(tiles.users, len(queries_BD)), width)
    for start in range(0, len(queries_BD), tiles.users):
        rows = slice(start, min(start + tiles.users, len(queries_BD)))
        masked = None if exclude is None else list(seen.by_part(exclude, rows, firsts, queries_BD.device))
        best = None
        for number, first in enumerate(firsts):
            items = vectors_ND[first : first + width]
            scores = memory[: rows.stop - rows.start, : len(items)]
            torch.mm(queries_BD[rows], items.T, out=scores)
            if masked is not None:
                scores[masked[number]] = -torch.inf
            best = best_keys(best, scores, first, k)
        if best is not None:
            write(lists, rows, best)
    return lists


def recommend_by_score(
    recommender: Recommender, histories: Sequences, k: int, exclude: Sequences | None, batch: int = 256
) -> TopK:
    """Scores the catalogue for some histories at a time and keeps the best k of each.

    Args:
        recommender: whose ``score`` is asked.
        histories: B rows.
        k: length of the lists.
        exclude: B rows of items that must not appear.
        batch: histories at a time; fewer where the catalogue is so large that their scores would
            take more than 256 MB.
    """
    lists = empty(len(histories), k)
    batch = max(min(batch, SCORES_AT_ONCE // max(recommender.n_items, 1)), 1)
    for start in range(0, len(histories), batch):
        rows = np.arange(start, min(start + batch, len(histories)))
        scores_BN = recommender.score(histories.take(rows))
        if exclude is not None:
            seen.mask_seen(scores_BN, exclude.take(rows))
        found = top_k(scores_BN, k)
        lists.ids[rows], lists.scores[rows] = found.ids, found.scores
    return lists
