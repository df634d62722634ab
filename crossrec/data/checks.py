"""Checks of a whole log: implausible times, and users or items with a large share of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import polars as pl

from crossrec.data.interactions import InteractionDataError, show_time

FIRST_TIME = 631152000.0
"""Seconds (1990): earlier times of clicks are implausible."""
DAY = 86400.0
POSITIONS_BELOW = 1e8
"""Seconds (1973): smaller numbers may be positions."""
LARGE_SHARE = 0.2
"""Share of the log above which one user or item is suspicious."""
MIN_CLICKS = 20
MIN_USERS = 10

UNITS = (("ns", 1e9), ("us", 1e6), ("ms", 1e3), ("s", 1.0))
_FACTORS = (1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9)
"""Possible factors between times written in one unit and read in another."""
PLAUSIBLE = (FIRST_TIME, 4102444800.0)
"""Plausible range in seconds (1990 to 2100), by which units are recognised."""


def time_warnings(times: pl.Series, name: str) -> list[str]:
    """Return warnings about times that should be points in time.

    Args:
        times: seconds since 1970, finite.
        name: name of the data set, for the message.

    Raises:
        InteractionDataError: if times have several units, such as seconds and milliseconds.
    """
    if not len(times):
        return []
    _refuse_mixed_units(times, name)
    early, late = int((times < FIRST_TIME).sum()), int((times > time.time() + DAY).sum())
    if not early + late:
        return []
    low, high = float(times.min()), float(times.max())  # type: ignore[arg-type]
    said = (
        f"{early + late:,} of {len(times):,} clicks ({(early + late) / len(times):.1%}) have "
        f"times outside 1990 to tomorrow ({early:,} before, {late:,} after; "
        f"from {show_time(low)} to {show_time(high)})"
    )
    if high < POSITIONS_BELOW and low >= 0:
        way_out = "if they are positions, set data.source.time_unit=order"
    elif unit := _likely_unit(times):
        way_out = f"they look like {unit}: set data.source.time_unit={unit}"
    else:
        way_out = "data.source.time_unit sets their unit, data.cleaning.min_time and max_time drop them"
    return [f"{said}: {way_out}"]


def _refuse_mixed_units(times: pl.Series, name: str) -> None:
    """Reject times of which a part is plausible in seconds and another part in a different unit."""
    low, high = PLAUSIBLE
    found = {factor: int(times.is_between(low * factor, high * factor).sum()) for factor in _FACTORS}
    plausible = {
        factor: count for factor, count in found.items() if count >= (1 if factor >= 1 else len(times) / 100)
    }
    if max(plausible, default=0) < 1 or len(plausible) < 2:  # small numbers alone are positions
        return
    counts = " and ".join(
        f"{count:,} such as {_one(times, factor):.0f}" for factor, count in plausible.items()
    )
    raise InteractionDataError(
        f"the times of '{name}' are in several units, for read as seconds there are {counts}: convert the "
        "column (data.source.interaction_columns.timestamp) to one unit (data.source.time_unit), or drop one "
        "kind with data.cleaning.min_time and max_time"
    )


def _one(times: pl.Series, factor: float) -> float:
    low, high = PLAUSIBLE
    return float(times.filter(times.is_between(low * factor, high * factor))[0])


def _likely_unit(times: pl.Series) -> str | None:
    """Return the unit in which all times would be plausible, had they been read as seconds."""
    low, high = PLAUSIBLE
    return next(
        (unit for unit, factor in UNITS if bool(times.is_between(low * factor, high * factor).all())), None
    )


def share_warnings(
    user: np.ndarray, item: np.ndarray, user_ids: Sequence[str] | pl.Series, item_ids: np.ndarray
) -> list[str]:
    """Return warnings about users and items with a large share of the log (guests, defaults, tests).

    Args:
        user: (T,) rows of ``user_ids``.
        item: (T,) catalogue indices.
        user_ids: original ids.
        item_ids: (N,) original ids.
    """
    if len(user) < MIN_CLICKS:
        return []
    told = []
    for what, codes, ids, why in (
        (
            "user",
            user,
            user_ids,
            "guests under one id are no user: remove them, or give each session an id",
        ),
        ("item", item, item_ids, "a gift, a fee or a test item is best left out"),
    ):
        counts = np.bincount(codes)
        largest = int(counts.argmax())
        share = counts[largest] / len(codes)
        if share > LARGE_SHARE and np.count_nonzero(counts) >= MIN_USERS:
            told.append(f"the {what} '{ids[largest]}' has {share:.0%} of the {len(codes):,} clicks: {why}")
    return told
