"""Cleaning of a raw data set, with an account of what was dropped and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from crossrec.config import Config
from crossrec.data.account import Account, Step
from crossrec.data.times import TimePoint

if TYPE_CHECKING:
    from crossrec.data.catalog import Catalog
    from crossrec.data.interactions import Clicks
    from crossrec.data.sources.base import RawData

__all__ = ["Account", "CleaningConfig", "Step", "clean"]


class CleaningConfig(Config):
    """What a click must be to stay.

    Args:
        min_time: clicks before it are dropped (seconds, ISO date or datetime).
        max_time: clicks after it are dropped.
        min_rating: clicks with a lower rating, or none, are dropped.
        max_rating: clicks with a higher rating, or none, are dropped.
        repeats: whether a user's later clicks on the same item stay.
        k_users: clicks that a user must have (k-core, together with ``k_items``).
        k_items: clicks that an item must have to stay in the log.
        catalog: keep all items, or only those that are still in the cleaned log.
    """

    min_time: TimePoint | None = None
    max_time: TimePoint | None = None
    min_rating: float | None = None
    max_rating: float | None = None
    repeats: Literal["keep", "drop"] = "keep"
    k_users: int = Field(default=1, ge=1)
    k_items: int = Field(default=1, ge=1)
    catalog: Literal["all", "clicked"] = "all"

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Self:
        for name in ("time", "rating"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{name} {low:g} is above max_{name} {high:g}: nothing would stay")
        return self


def clean(raw: RawData, config: CleaningConfig) -> tuple[Catalog, Clicks, Account]:
    """Drops what can't be used, counts it, and sorts by user, time and, within ties, a hash of (user, item).

    The steps on clicks, in order: missing ids, missing times, time out of range, rating out of range,
    unknown items, exact duplicates (user, item and time), repeats, k-core, ties in time. Items without text
    or picture are counted and stay; a price that is no number or negative becomes null. The report begins
    with what the source counted in reading.

    Returns:
        The catalogue, the sorted clicks (item indices are rows of that catalogue), the account.

    Raises:
        LogError: no click is left, with the account; a rating range is set and there are no ratings; or times
            are in several units.
    """
    from crossrec.data.clean_catalog import clean_catalog
    from crossrec.data.clean_log import clean_log
    from crossrec.data.interactions import Clicks

    log, log_steps, warnings = clean_log(raw, config)
    catalog, rows, catalog_steps = clean_catalog(raw.catalog, log.item, config)
    clicks = Clicks.from_codes(log.user, rows[log.item], log.time, log.user_ids)
    return catalog, clicks, Account((*raw.steps, *log_steps, *catalog_steps), tuple(warnings))
