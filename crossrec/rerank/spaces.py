"""Similarity of candidates: cosine of vectors, or overlap of categories."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.types import ABSENT

CACHE_BYTES, ACCELERATOR_BYTES = 6 << 20, 1 << 30
"""Memory for the repeatedly read data of users that are processed together."""

SMALL_POOL = 32
"""Candidates up to which all pairs at once are faster than one column for each of about ten choices."""


class PoolSimilarity(Protocol):
    """Similarities among the candidates of one pool."""

    def to(self, columns_B: Tensor) -> Tensor:
        """Return (B, C) similarity of every candidate with one item per row; 0 where either has no vector.

        Args:
            columns_B: (B,) column of the item.
        """
        ...


class Space(Protocol):
    """A way to compare items. Its similarities are at most 1 and form positive semidefinite matrices."""

    def cells(self, n_candidates: int) -> int:
        """Return the count of numbers that are read repeatedly for a pool of this many candidates."""
        ...

    def of(self, ids_BC: Tensor) -> PoolSimilarity:
        """Return similarities among the candidates (B, C), ``ABSENT`` ones included as unknown."""
        ...


class CosineSpace:
    """Cosine of two items' vectors.

    Args:
        vectors_ND: rows of unit length, or zeros where an item has none.
    """

    def __init__(self, vectors_ND: Tensor) -> None:
        self.vectors_ND = vectors_ND

    def cells(self, n_candidates: int) -> int:
        """Return the count of numbers that are read repeatedly for a pool of this many candidates."""
        return n_candidates * (n_candidates if n_candidates <= SMALL_POOL else self.vectors_ND.shape[1])

    def of(self, ids_BC: Tensor) -> PoolSimilarity:
        """Return similarities among the candidates (B, C)."""
        return _Dots(self.vectors_ND, ids_BC)


class JaccardSpace:
    """Overlap of two items' categories, |A & B| / |A | B|: one less the distance in ``ild_category``.

    Positive semidefinite: Gower, A general coefficient of similarity and some of its properties (1971).

    Args:
        categories_NG: (N, G), 1 where the item is in the category.
    """

    def __init__(self, categories_NG: Tensor) -> None:
        self.categories_NG = categories_NG

        self._size_N = categories_NG.sum(1)

    def cells(self, n_candidates: int) -> int:
        """Return the count of numbers that are read repeatedly for a pool of this many candidates."""
        return n_candidates * (n_candidates if n_candidates <= SMALL_POOL else self.categories_NG.shape[1])

    def of(self, ids_BC: Tensor) -> PoolSimilarity:
        """Return similarities among the candidates (B, C)."""
        size_BC = self._size_N[ids_BC.clamp(min=0)].masked_fill_(ids_BC == ABSENT, 0)
        return _Overlaps(_Dots(self.categories_NG, ids_BC), size_BC)


def space_named(name: str, items: ItemTable) -> Space:
    """Return the space of a name: ``category``, or one of the table's vector spaces.

    Raises:
        InputError: if there is no such space; the message lists the valid ones.
    """
    items.require(name, "rerank")
    return JaccardSpace(items.categories_NG) if name == CATEGORY else CosineSpace(items.unit(name))


def users_at_once(cells: int, device: torch.device) -> int:
    """Return the number of users whose data fit the processor's cache, or a part of the accelerator's memory.

    Args:
        cells: numbers in memory for each of them.
        device: device of the data.
    """
    room = CACHE_BYTES if device.type == "cpu" else ACCELERATOR_BYTES
    return max(1, room // (4 * max(1, cells)))


class _Dots:
    """Dot products among the rows of a table that stand for a pool's candidates."""

    def __init__(self, table_ND: Tensor, ids_BC: Tensor) -> None:
        n_users, n_candidates = ids_BC.shape
        self._first_B = torch.arange(n_users, device=ids_BC.device) * n_candidates
        self._all_RC: Tensor | None = None
        if n_candidates <= SMALL_POOL:
            self._all_RC = _all_pairs(table_ND, ids_BC)
        else:
            rows_BCD = _rows(table_ND, ids_BC)
            self._rows_RD, self._rows_BDC = rows_BCD.flatten(0, 1), rows_BCD.transpose(1, 2)

    def to(self, columns_B: Tensor) -> Tensor:
        """Return (B, C) similarities."""
        if self._all_RC is not None:
            return self._all_RC.index_select(0, self._first_B + columns_B)
        chosen_BD = self._rows_RD.index_select(0, self._first_B + columns_B)
        # A row times a matrix is many times faster on CPUs than the same matrix times a column.
        return torch.bmm(chosen_BD[:, None], self._rows_BDC)[:, 0]


class _Overlaps:
    """Shared categories over those that either has."""

    def __init__(self, shared: _Dots, size_BC: Tensor) -> None:
        self._shared = shared
        self._size_BC = size_BC

    def to(self, columns_B: Tensor) -> Tensor:
        """Return (B, C) similarities."""
        shared_BC = self._shared.to(columns_B)
        size_B1 = self._size_BC.gather(1, columns_B[:, None])
        return shared_BC / (self._size_BC + size_B1 - shared_BC).clamp_(min=1)


def _all_pairs(table_ND: Tensor, ids_BC: Tensor) -> Tensor:
    """Return (B * C, C) dot products of all pairs, a few users at a time."""
    n_users, n_candidates = ids_BC.shape
    all_BCC = table_ND.new_empty(n_users, n_candidates, n_candidates)
    step = max(1, min(n_users, users_at_once(n_candidates * table_ND.shape[1], ids_BC.device)))
    # The memory is reused: fresh pages would cost more than writing to them.
    room_RD = table_ND.new_empty(step * n_candidates, table_ND.shape[1])
    for start in range(0, n_users, step):
        part = slice(start, start + step)
        rows_BCD = _rows(table_ND, ids_BC[part], room_RD[: ids_BC[part].numel()])
        torch.bmm(rows_BCD, rows_BCD.transpose(1, 2), out=all_BCC[part])
    return all_BCC.flatten(0, 1)


def _rows(table_ND: Tensor, ids_BC: Tensor, out: Tensor | None = None) -> Tensor:
    """Return (B, C, D) rows of a table, zeros where absent.

    Args:
        table_ND: the table.
        ids_BC: rows of it, or ``ABSENT``.
        out: (B * C, D) memory for the result.
    """
    rows_RD = torch.index_select(table_ND, 0, ids_BC.clamp(min=0).flatten(), out=out)
    absent_BC = ids_BC == ABSENT
    # Most pools are full: checking is far cheaper than writing zeros to all vectors.
    if absent_BC.any():
        rows_RD.masked_fill_(absent_BC.view(-1, 1), 0)
    return rows_RD.view(*ids_BC.shape, table_ND.shape[1])
