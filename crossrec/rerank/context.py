"""Constraints: filters and quotas by a column of the catalogue."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import BeforeValidator, Field, PositiveInt, model_validator
from torch import Tensor

from crossrec.config import ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool, Reranker
from crossrec.types import ABSENT, InputError

Value = Annotated[str, BeforeValidator(str)]
"""A value of a column, as text: YAML's ``3`` and ``true`` are "3" and "True"."""


SHOWN = 20
"""Maximum number of a column's values in an error message."""


NO_LIMIT = torch.iinfo(torch.int64).max
"""Quota that any number of items meets."""


class Constraints(Reranker):
    """Filters and quotas: the best ranked candidates that meet rules on one column, in the pool's order.

    1. A candidate is removed if its value is in ``deny``, or not in a nonempty ``allow``.
    2. From the best on, a candidate is taken while its value is below its maximum: ``max_count`` of the
       value, or else ``max_per_value``.
    3. The best ``min_count`` items of a value are in the list, however low they rank, in place of the lowest
       of those that no minimum holds; fewer if the pool has fewer.

    An item with an unknown value is removed by ``allow`` only, and no quota counts it. Lists that run out of
    candidates end early. A quota holds for the result: as a stage before others, which keeps the whole pool,
    maxima still hold for any list made from it, minima don't.

    These are rules, not a trade-off, so there is no ``diversity``; without rules nothing changes.

    Args:
        options: the column and its rules.
        items: features of the catalogue's items; one column is used.

    Raises:
        InputError: if the catalogue lacks the column, or the column a value; the message lists all.
    """

    class Options(ComponentOptions):
        """Filters and quotas by a column of the catalogue; values are compared as text.

        Args:
            column: name of the column.
            allow: only items with these values; all if empty.
            deny: no items with these values.
            max_per_value: largest number of items of any one value in a list.
            max_count: the same for single values, instead of ``max_per_value``.
            min_count: smallest number of items of a value in a list, if there are as many candidates.
        """

        column: str
        allow: tuple[Value, ...] = ()
        deny: tuple[Value, ...] = ()
        max_per_value: int | None = Field(default=None, ge=1)
        max_count: dict[Value, Annotated[int, Field(ge=0)]] = Field(default={})
        min_count: dict[Value, PositiveInt] = Field(default={})

        @model_validator(mode="after")
        def _rules_agree(self) -> Self:
            if not (self.allow or self.deny or self.max_per_value or self.max_count or self.min_count):
                raise ValueError(
                    "no rule: give at least one of allow, deny, max_per_value, max_count, min_count"
                )
            if both := sorted(set(self.allow) & set(self.deny)):
                raise ValueError(f"{both} are both allowed and denied")
            for value, least in self.min_count.items():
                if value in self.deny or (self.allow and value not in self.allow):
                    raise ValueError(f"min_count asks for '{value}', which is filtered out")
                most = self.max_count.get(value, self.max_per_value)
                if most is not None and least > most:
                    raise ValueError(f"'{value}': at least {least}, but at most {most}")
            return self

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._options = options
        if options.column not in items.columns:
            raise InputError(
                f"rerank: context column '{options.column}' is not in the catalogue; "
                f"there are {sorted(items.columns)}"
            )
        known = [None if _unknown(value) else str(value) for value in items.columns[options.column]]
        self._codes = {value: code for code, value in enumerate(sorted({v for v in known if v is not None}))}
        device = items.device
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
        """Return a pool of width min(k, C), ``ABSENT`` at its end if too few candidates meet the rules.

        Raises:
            InputError: if the minima need more than k items.
        """
        width = min(k, pool.ids_BC.shape[1])
        if (asked := sum(self._options.min_count.values())) > k:
            raise InputError(f"rerank: context min_count asks for {asked} items in lists of {k}")
        code_BC = self._code_N[pool.ids_BC]
        open_BC = pool.present_BC & self._allowed_V[code_BC]
        # A filter removes all items of a value or none, so that removed items do not use up a quota.
        place_BC = place_within(code_BC)
        open_BC &= place_BC < self._most_V[code_BC]
        held_BC = open_BC & (place_BC < self._least_V[code_BC])
        room_B1 = width - held_BC.sum(1, keepdim=True)
        free_BC = open_BC & ~held_BC
        taken_BC = held_BC | (free_BC & (free_BC.cumsum(1) <= room_B1))
        # Stable: selected candidates first, each part in the pool's order.
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
    """Return (B, C) int64, the number of candidates with the same code before each one in its row."""
    sorted_BC, order_BC = code_BC.sort(dim=1, stable=True)
    place_BC = torch.arange(code_BC.shape[1], device=code_BC.device) - torch.searchsorted(
        sorted_BC, sorted_BC
    )
    return torch.empty_like(place_BC).scatter_(1, order_BC, place_BC)


def _unknown(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
