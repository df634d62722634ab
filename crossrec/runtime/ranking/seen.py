"""Items that must not be recommended, masked from CSR arrays without a Python object per user."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from crossrec.types import Sequences

Cells = tuple[Tensor, Tensor]
"""Row and column indices of the scores to be masked."""


def mask_seen(scores_BN: Tensor, exclude: Sequences) -> None:
    """Sets the score of every excluded item to -inf, in place.

    Raises:
        ValueError: other rows than the scores, or an item outside the catalogue.
    """
    n_rows, n_items = scores_BN.shape
    check(exclude, n_rows, n_items)
    for cells in by_part(exclude, slice(0, n_rows), [0], scores_BN.device):
        scores_BN[cells] = -torch.inf


def by_part(exclude: Sequences, rows: slice, firsts: list[int], device: torch.device) -> Iterator[Cells]:
    """The excluded cells of some rows for each part of the catalogue.

    Args:
        exclude: excluded items of all rows.
        rows: the rows that are looked at, numbered from 0 in the result.
        firsts: the first item of each part, rising from 0; columns count from it.
        device: where the scores lie.
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


def check(exclude: Sequences, n_rows: int, n_items: int) -> None:
    """Refuses rows and items that the scores don't have.

    Raises:
        ValueError: other rows than the scores, or an item outside the catalogue.
    """
    if len(exclude) != n_rows:
        raise ValueError(f"{len(exclude)} rows of items to leave out, for {n_rows} rows of scores")
    items = exclude.items[exclude.offsets[0] : exclude.offsets[-1]]
    if len(items) and (items.min() < 0 or items.max() >= n_items):
        wrong = items.min() if items.min() < 0 else items.max()
        raise ValueError(f"item {wrong} is to be left out, but the catalogue has {n_items} items")
