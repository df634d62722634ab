"""Ranking in bounded memory: masks of seen items, scores of candidates, and the best items of a catalogue.

Users and items are processed in tiles; :mod:`crossrec.runtime.ranking.selection` breaks ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.runtime.ranking.selection import BLOCK, best_keys, empty, top_k, write
from crossrec.types import ABSENT, AddedScores, Recommender, Sequences, TopK

Cells = tuple[Tensor, Tensor]
"""Row and column indices of the scores to be masked."""


def mask_seen(scores_BN: Tensor, exclude: Sequences) -> None:
    """Set the score of every excluded (seen) item to -inf, in place.

    :func:`rank_by_vectors` masks part by part of the catalogue; ``sparse.py`` drops sparse scores.

    Raises:
        ValueError: if the rows don't fit the scores, or an item is outside the catalogue.
    """
    n_rows, n_items = scores_BN.shape
    check_excluded(exclude, n_rows, n_items)
    for cells in excluded_cells(exclude, slice(0, n_rows), [0], scores_BN.device):
        scores_BN[cells] = -torch.inf


def excluded_cells(
    exclude: Sequences, rows: slice, firsts: list[int], device: torch.device
) -> Iterator[Cells]:
    """Yield the excluded cells of some rows for each part of the catalogue.

    Args:
        exclude: excluded items of all rows.
        rows: rows to use, numbered from 0 in the result.
        firsts: first item of each part, ascending from 0; columns count from it.
        device: device of the scores.
    """
    offsets = np.asarray(exclude.offsets[rows.start : rows.stop + 1])
    items = np.asarray(exclude.items[offsets[0] : offsets[-1]], dtype=np.int64)
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    bounds = [0, len(items)]
    if len(firsts) > 1:
        order = np.argsort(items)
        items, row = items[order], row[order]
        bounds = [*np.searchsorted(items, firsts), len(items)]
    for first, low, high in zip(firsts, bounds[:-1], bounds[1:], strict=True):
        columns = torch.from_numpy(items[low:high] - first)
        yield torch.from_numpy(row[low:high]).to(device), columns.to(device)


def check_excluded(exclude: Sequences, n_rows: int, n_items: int) -> None:
    """Check that excluded rows and items fit the scores.

    Raises:
        ValueError: if the rows don't fit the scores, or an item is outside the catalogue.
    """
    if len(exclude) != n_rows:
        raise ValueError(f"{len(exclude)} rows of items to leave out, for {n_rows} rows of scores")
    items = exclude.items[exclude.offsets[0] : exclude.offsets[-1]]
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        wrong = items.min() if items.min() < 0 else items.max()
        raise ValueError(f"item {wrong} is to be left out, but the catalogue has {n_items} items")


def pick_candidates(scores_BN: Tensor, candidates_BK: np.ndarray) -> Tensor:
    """Return (B, K) scores of candidates, -inf for ``ABSENT``.

    Raises:
        ValueError: if the rows don't fit the scores, or an index is outside the catalogue.
    """
    check_candidates(candidates_BK, *scores_BN.shape)
    ids_BK = torch.from_numpy(np.asarray(candidates_BK, dtype=np.int64))
    absent_BK = ids_BK == ABSENT
    return scores_BN.gather(1, ids_BK.masked_fill(absent_BK, 0)).masked_fill(absent_BK, -torch.inf)


def check_candidates(candidates_BK: np.ndarray, n_rows: int, n_items: int) -> None:
    """Check that candidates fit.

    Raises:
        ValueError: if the rows don't fit the histories, or an index is outside the catalogue.
    """
    if candidates_BK.ndim != 2 or len(candidates_BK) != n_rows:
        raise ValueError(f"candidates have shape {candidates_BK.shape}; expected ({n_rows}, K)")
    wrong = (candidates_BK < ABSENT) | (candidates_BK >= n_items)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"candidates[{row}, {column}] is {candidates_BK[row, column]}, "
            f"outside the catalogue of {n_items} items"
        )


SCORES_AT_ONCE = 1 << 26
"""Maximum number of scores in memory in ``recommend_by_score`` (256 MB), unless one history has more."""


@dataclass(frozen=True)
class Tiles:
    """Sizes of tiles of scores.

    Args:
        users: number of rows of a tile.
        scores: maximum number of scores in a tile, which determines its columns.
    """

    users: int
    scores: int

    @classmethod
    def suited_to(cls, device: torch.device) -> Tiles:
        """Return tiles that fit a CPU's last cache (16 MB), larger ones elsewhere (256 MB)."""
        return cls(256, 1 << 22) if device.type == "cpu" else cls(1024, 1 << 26)

    def items(self, n_items: int) -> int:
        """Return the columns per tile: equal parts of the catalogue, each of whole blocks."""
        most = max(self.scores // self.users, BLOCK)
        parts = max(-(-n_items // most), 1)
        return max(-(-n_items // (parts * BLOCK)), 1) * BLOCK


@torch.no_grad()
def rank_by_vectors(
    queries_BD: Tensor,
    vectors_ND: Tensor,
    k: int,
    exclude: Sequences | None,
    tiles: Tiles | None = None,
    added: AddedScores | None = None,
) -> TopK:
    """Return the k items with the largest dot products for each query, exactly, ties by the lower index.

    Scores are computed one tile at a time, in reused memory: on a CPU, writing to fresh pages costs more than
    the matrix product. Memory besides arguments and lists is that of a few tiles, whatever B and N.

    Args:
        queries_BD: float32 queries.
        vectors_ND: float32 item vectors on the same device.
        k: length of the lists; short lists end in ``ABSENT``.
        exclude: B rows of items that must not appear.
        tiles: sizes of the tiles; those for the device when None.
        added: scores added to the dot products.

    Raises:
        ValueError: if the shapes don't fit, an excluded item is outside the catalogue, or a score is NaN.
    """
    if queries_BD.shape[1:] != vectors_ND.shape[1:]:
        raise ValueError(f"queries {tuple(queries_BD.shape)} don't fit items {tuple(vectors_ND.shape)}")
    if exclude is not None:
        check_excluded(exclude, len(queries_BD), len(vectors_ND))
    lists = empty(len(queries_BD), k)
    if not len(vectors_ND):
        return lists
    tiles = tiles or Tiles.suited_to(queries_BD.device)
    width = tiles.items(len(vectors_ND))
    firsts = list(range(0, len(vectors_ND), width))
    memory = queries_BD.new_empty(min(tiles.users, len(queries_BD)), width)
    for start in range(0, len(queries_BD), tiles.users):
        rows = slice(start, min(start + tiles.users, len(queries_BD)))
        masked = None if exclude is None else list(excluded_cells(exclude, rows, firsts, queries_BD.device))
        best = None
        for number, first in enumerate(firsts):
            items = vectors_ND[first : first + width]
            scores = memory[: rows.stop - rows.start, : len(items)]
            torch.mm(queries_BD[rows], items.T, out=scores)
            if added is not None:
                scores += added.dense(rows, slice(first, first + len(items))).to(scores.device)
            if masked is not None:
                scores[masked[number]] = -torch.inf
            best = best_keys(best, scores, first, k)
        if best is not None:
            write(lists, rows, best)
    return lists


def recommend_by_score(
    recommender: Recommender, histories: Sequences, k: int, exclude: Sequences | None, batch: int = 256
) -> TopK:
    """Score the catalogue for some histories at a time and keep the best k of each.

    Args:
        recommender: recommender with ``score``.
        histories: B rows.
        k: length of the lists.
        exclude: B rows of items that must not appear.
        batch: maximum number of histories at a time; fewer for a large catalogue, whose scores would take
            more than 256 MB.
    """
    lists = empty(len(histories), k)
    batch = max(min(batch, SCORES_AT_ONCE // max(recommender.n_items, 1)), 1)
    for start in range(0, len(histories), batch):
        rows = np.arange(start, min(start + batch, len(histories)))
        scores_BN = recommender.score(histories.take(rows))
        if exclude is not None:
            mask_seen(scores_BN, exclude.take(rows))
        found = top_k(scores_BN, k)
        lists.ids[rows], lists.scores[rows] = found.ids, found.scores
    return lists
