"""Context: filters and quotas by a column of the catalogue."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossrec.rerank.base import ItemTraits, Pool
from crossrec.types import ABSENT, InputError

if TYPE_CHECKING:
    from crossrec.rerank.context_config import ContextConfig

SHOWN = 20
"""Values of a column that an error names at most."""

NO_LIMIT = torch.iinfo(torch.int64).max
"""Room for any number of items."""


class Context:
    """The best ranked candidates that obey rules on one column, in the pool's order.

    1. A candidate whose value is denied, or is not among those allowed where some are named, is removed.
    2. From the best on, a candidate is taken while its value has room: ``max_count`` of the value or, where
       that names none, ``max_per_value``.
    3. Of a value with a ``min_count`` the best so many are in the list, however low they rank, in place of
       the lowest of those that no minimum holds; fewer where the pool has no more.

    An item whose value is not known is removed by ``allow`` only, and no quota counts it. Lists that run out
    of candidates end early. A quota holds for the list that comes out: as a stage before others that keep
    the whole pool, maxima still hold for any list made from it, minima don't.

    These are rules, not a trade-off, so that there is no ``diversity``; without rules nothing changes.

    Args:
        options: the configuration.
        traits: what is known of items.

    Raises:
        InputError: the catalogue lacks the column, or the column a value; names those that exist.
    """

    def __init__(self, options: ContextConfig, traits: ItemTraits) -> None:
        self._options = options
        if options.column not in traits.columns:
            raise InputError(
                f"rerank: context column '{options.column}' is not in the catalogue; "
                f"there are {sorted(traits.columns)}"
            )
        known = [None if _unknown(value) else str(value) for value in traits.columns[options.column]]
        self._codes = {value: code for code, value in enumerate(sorted({v for v in known if v is not None}))}
        device = traits.categories_NG.device
        # Unknown values get the code after the last; so does the row that -1, an absent candidate, indexes.
        unknown = len(self._codes)
        code_N = [unknown if value is None else self._codes[value] for value in [*known, None]]
        self._code_N = torch.tensor(code_N, dtype=torch.int64, device=device)
        allowed_V = self._marks(options.allow) if options.allow else torch.ones(unknown + 1, dtype=torch.bool)
        self._allowed_V = (allowed_V & ~self._marks(options.deny)).to(device)
        most = NO_LIMIT if options.max_per_value is None else options.max_per_value
        self._most_V = self._counts(options.max_count, most, unknown=NO_LIMIT).to(device)
        self._least_V = self._counts(options.min_count, 0, unknown=0).to(device)

    def rerank(self, pool: Pool, k: int) -> Pool:
        """A pool of width min(k, C), ``ABSENT`` at its end where candidates that obey run out.

        Raises:
            InputError: the minima ask for more than k items.
        """
        width = min(k, pool.ids_BC.shape[1])
        if (asked := sum(self._options.min_count.values())) > k:
            raise InputError(f"rerank: context min_count asks for {asked} items in lists of {k}")
        code_BC = self._code_N[pool.ids_BC]
        open_BC = pool.present_BC & self._allowed_V[code_BC]
        # A filter removes all of a value or none of it, so that those removed take no other's room.
        place_BC = place_within(code_BC)
        open_BC &= place_BC < self._most_V[code_BC]
        held_BC = open_BC & (place_BC < self._least_V[code_BC])
        room_B1 = width - held_BC.sum(1, keepdim=True)
        free_BC = open_BC & ~held_BC
        taken_BC = held_BC | (free_BC & (free_BC.cumsum(1) <= room_B1))
        # Stable: those taken first, each part in the pool's order.
        column_BK = (~taken_BC).int().sort(dim=1, stable=True).indices[:, :width]
        return pool.pick(torch.where(taken_BC.gather(1, column_BK), column_BK, ABSENT))

    def _marks(self, values: tuple[str, ...]) -> Tensor:
        marks_V = torch.zeros(len(self._codes) + 1, dtype=torch.bool)
        for value in values:
            marks_V[self._code(value)] = True
        return marks_V

    def _counts(self, counts: Mapping[str, int], otherwise: int, *, unknown: int) -> Tensor:
        counts_V = torch.full((len(self._codes) + 1,), otherwise)
        for value, count in counts.items():
            counts_V[self._code(value)] = count
        counts_V[-1] = unknown
        return counts_V

    def _code(self, value: str) -> int:
        if value not in self._codes:
            close = difflib.get_close_matches(value, self._codes, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            there = ", ".join(list(self._codes)[:SHOWN]) + (", …" if len(self._codes) > SHOWN else "")
            raise InputError(
                f"rerank: no item has '{value}' in column '{self._options.column}'; {hint}there are: {there}"
            )
        return self._codes[value]


def place_within(code_BC: Tensor) -> Tensor:
    """(B, C) int64, how many candidates with the same code stand before each one in its row."""
    sorted_BC, order_BC = code_BC.sort(dim=1, stable=True)
    place_BC = torch.arange(code_BC.shape[1], device=code_BC.device) - torch.searchsorted(
        sorted_BC, sorted_BC
    )
    return torch.empty_like(place_BC).scatter_(1, order_BC, place_BC)


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
