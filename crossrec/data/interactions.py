"""The click log: one row per click, in a polars frame with fixed column names; points in time."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import BeforeValidator

from crossrec.types import InputError, Sequences

REQUIRED = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Float64}
"""Columns of every log. ``timestamp`` is in seconds (or any growing number where a source has only
an order). ``rating``, ``event`` ("view", "purchase", …) and further columns are optional."""

MISSING_WORDS = (
    *("", "nan", "NaN", "NAN", "-nan", "null", "NULL", "Null", "none", "None", "NONE", "undefined"),
    *("NA", "N/A", "n/a", "#N/A", "<NA>", "<null>", "NaT", "\\N"),
)
"""Words that files write in place of an id, a number or a time that is missing; in a title they are words."""


def is_missing(text: pl.Expr) -> pl.Expr:
    """Return whether text is null, blank, or one of ``MISSING_WORDS``; never null itself."""
    return text.is_null() | text.str.strip_chars().is_in(MISSING_WORDS).fill_null(True)


class InteractionDataError(InputError):
    """A log that can't be used; the message names the column or what is missing."""


@dataclass(frozen=True)
class Interactions:
    """Clicks as a source delivers them, uncleaned, in file order.

    Args:
        frame: columns of ``REQUIRED`` at least; nulls and NaN are allowed here and dropped by cleaning.
    """

    frame: pl.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in REQUIRED if name not in self.frame.columns]
        if missing:
            raise InteractionDataError(f"the log lacks the columns {missing}; it has {self.frame.columns}")

    def __len__(self) -> int:
        return self.frame.height


@dataclass(frozen=True)
class ClickLog:
    """A cleaned log as sequences, with the original user ids.

    Args:
        sequences: one row per user, sorted by time, ties by a hash of (user, item).
        user_ids: (U,) original ids.
        targets_T: (T,) bool, clicks that validation and test may ask for; None if all are.
    """

    sequences: Sequences
    user_ids: np.ndarray
    targets_T: np.ndarray | None = None

    @classmethod
    def from_codes(
        cls,
        user: np.ndarray,
        item: np.ndarray,
        time: np.ndarray,
        user_ids: np.ndarray,
        weights: np.ndarray | None = None,
        targets_T: np.ndarray | None = None,
    ) -> ClickLog:
        """Return clicks from numbers that are sorted by user and time already.

        Args:
            user: (T,) rows of ``user_ids``, ascending.
            item: (T,) catalogue indices.
            time: (T,) int64 seconds.
            user_ids: (U,) original ids.
            weights: (T,) float32, see :class:`Sequences`.
            targets_T: (T,) bool, see the class.
        """
        offsets = np.zeros(len(user_ids) + 1, dtype=np.int64)
        np.cumsum(np.bincount(user, minlength=len(user_ids)), out=offsets[1:])
        return cls(Sequences(offsets, item.astype(np.int32), time, weights), user_ids, targets_T)


_EARLIEST_SHOWN_AS_DATE = 1e8
"""Seconds (1973). Smaller numbers are an order, not a date, in every log that we know."""


def to_seconds(value: Any) -> Any:
    """Return seconds since 1970 of a date, a datetime or ISO text; other values are returned unchanged.

    Text, dates and datetimes without a zone are taken as UTC.

    Raises:
        ValueError: for text that is neither a number nor ISO 8601.
    """
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass  # not a number, so it must be ISO text
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"'{value}' is neither a number nor an ISO date or datetime") from error
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return value


TimePoint = Annotated[float, BeforeValidator(to_seconds)]
"""A config field that takes seconds, an ISO date or an ISO datetime, and holds seconds."""


def show_time(seconds: float) -> str:
    """Return the ISO date and time in UTC, or the plain number where the source has only an order."""
    if _EARLIEST_SHOWN_AS_DATE <= seconds < datetime(9999, 1, 1, tzinfo=UTC).timestamp():
        return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{seconds:g}"


LOOKED_THROUGH = 20_000
"""Number of ids searched for similar ones in errors: all of a large catalogue would take seconds."""


def near_ids(word: str, known: Sequence[str]) -> str:
    """Return the end of an error message with ids similar to an unknown one; empty if there are none."""
    close = difflib.get_close_matches(word, known[:LOOKED_THROUGH], n=3)
    return f"; near ids: {', '.join(close)}" if close else ""


class UserLog:
    """Users and all their clicks, including those of the validation and test splits.

    Args:
        clicks: one row per user; None where the recommender came without the log.
    """

    def __init__(self, clicks: ClickLog | None) -> None:
        self.clicks = clicks

    @cached_property
    def ids(self) -> list[str]:
        """U original ids; empty without a log."""
        return [] if self.clicks is None else [str(user_id) for user_id in self.clicks.user_ids]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {user_id: row for row, user_id in enumerate(self.ids)}

    def histories(self, user_ids: Sequence[str]) -> Sequences:
        """Return all clicks of some users, oldest first, with their times.

        Raises:
            InputError: if a user is not in the log, or there is no log.
        """
        rows = self.rows(user_ids)
        assert self.clicks is not None
        return self.clicks.sequences.take(rows)

    def rows(self, user_ids: Sequence[str]) -> np.ndarray:
        """Return the rows of some users in the log; errors as in :meth:`histories`."""
        if self.clicks is None:
            raise InputError("this recommender came without its users' log: give a history")
        rows = []
        for user_id in user_ids:
            if str(user_id) not in self._rows:
                raise InputError(f"user '{user_id}' is not in the log{near_ids(str(user_id), self.ids)}")
            rows.append(self._rows[str(user_id)])
        return np.asarray(rows, dtype=np.int64)
