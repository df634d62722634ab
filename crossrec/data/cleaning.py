"""Cleaning of a raw data set, with a report of what was dropped and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from crossrec.config import Config
from crossrec.data.catalog import Catalog
from crossrec.data.checks import share_warnings, time_warnings
from crossrec.data.cleaning_report import CleaningReport, Step
from crossrec.data.interactions import ClickLog, InteractionDataError, TimePoint, is_missing, show_time
from crossrec.data.pictures import ItemPictures
from crossrec.data.sources.base import RawData
from crossrec.random import hash_ids, mix_bits
from crossrec.runtime import distributed

logger = logging.getLogger(__name__)


EventWeight = Annotated[float, Field(gt=0, le=1_000_000)]


class CleaningConfig(Config):
    """Conditions that a click must meet to be kept.

    Args:
        min_time: clicks before it are dropped (seconds, ISO date or datetime).
        max_time: clicks after it are dropped.
        min_rating: clicks with a lower rating, or none, are dropped.
        max_rating: clicks with a higher rating, or none, are dropped.
        repeats: whether a user's later clicks on the same item stay.
        k_users: minimum number of clicks per user (k-core, together with ``k_items``).
        k_items: minimum number of clicks per item in the log.
        catalog: whether to keep all items, or only those in the cleaned log.
        events: the event types that are kept, each with its weight, such as ``{view: 1, purchase: 5}``;
            not set, all clicks are kept, with weight 1. A click of weight 5 counts as five clicks in the
            training loss and in the baselines that count clicks; metrics and popularity by
            ``train_counts`` count every click once.
        target_events: event types that validation and test ask for, such as ``[purchase]``; histories and
            training hold all types. Not set, every click can be a target.
    """

    min_time: TimePoint | None = None
    max_time: TimePoint | None = None
    min_rating: float | None = None
    max_rating: float | None = None
    repeats: Literal["keep", "drop"] = "keep"
    k_users: int = Field(default=1, ge=1)
    k_items: int = Field(default=1, ge=1)
    catalog: Literal["all", "clicked"] = "all"
    events: dict[str, EventWeight] | None = Field(default=None, min_length=1)
    target_events: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Self:
        for name in ("time", "rating"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{name} {low:g} is above max_{name} {high:g}: nothing would stay")
        return self

    @model_validator(mode="after")
    def _targets_are_kept(self) -> Self:
        dropped = [name for name in self.target_events or () if self.events and name not in self.events]
        if dropped:
            raise ValueError(
                f"target_events names '{dropped[0]}', which events drops; give it a weight in events, or "
                f"choose from {', '.join(self.events or ())}"
            )
        return self


def clean(raw: RawData, config: CleaningConfig) -> tuple[Catalog, ClickLog, CleaningReport]:
    """Drop and count unusable rows; sort by user, time and, within ties, a hash of (user, item).

    The steps on clicks, in order: other events, missing ids, missing times, time out of range, rating out
    of range, unknown items, exact duplicates (user, item and time), repeats, k-core, ties in time. With
    ``events`` or ``target_events``, only clicks of one event type are duplicates or repeats. Items without
    text or picture are counted and stay; a price that is no number or negative becomes null. The report
    begins with what the source counted in reading.

    Returns:
        The catalogue, the sorted clicks (item indices are rows of that catalogue), the report.

    Raises:
        InteractionDataError: if no click is left (with the report), a rating range is set without ratings,
            event types are set without events or unknown to the log, or times are in several units.
    """

    log, log_steps, warnings = clean_log(raw, config)
    catalog, rows, catalog_steps = clean_catalog(raw.catalog, log.item, config)
    weights, targets_T = _meaning(log.event, config)
    clicks = ClickLog.from_codes(log.user, rows[log.item], log.time, log.user_ids, weights, targets_T)
    return catalog, clicks, CleaningReport((*raw.steps, *log_steps, *catalog_steps), tuple(warnings))


def clean_catalog(
    catalog: Catalog, clicked: np.ndarray, config: CleaningConfig
) -> tuple[Catalog, np.ndarray, list[Step]]:
    """Select items, set invalid prices to null, and count missing values.

    Args:
        catalog: N items.
        clicked: (T,) catalogue indices in the cleaned log.
        config: ``catalog`` is the rule for items.

    Returns:
        The catalogue of N' items, (N,) the new index of each old one (-1 where it was dropped), steps.
    """
    steps = []
    n = len(catalog)
    rows = np.arange(n)
    if config.catalog == "clicked":
        kept = np.unique(clicked)
        steps.append(Step("item without a click", "items", n, n - len(kept), "not in the cleaned log"))
        rows = np.full(n, -1)
        rows[kept] = np.arange(len(kept))
        catalog = catalog.select(kept)
    n = len(catalog)
    catalog, invalid = _with_valid_prices(catalog)
    steps.append(Step("invalid price", "items", n, 0, f"{invalid:,} not a number or negative: set to none"))
    without_text, without_picture = n - catalog.has_text.sum(), n - catalog.names_image.sum()
    steps.append(Step("missing text", "items", n, 0, f"{without_text:,} without: kept and masked"))
    steps.append(Step("missing picture", "items", n, 0, f"{without_picture:,} without: kept and masked"))
    steps.append(_unreadable_pictures(catalog))
    return catalog, rows, steps


def _unreadable_pictures(catalog: Catalog) -> Step:
    """Count pictures that are named but unreadable, by their first bytes; warn if they are the majority."""
    unreadable = np.flatnonzero(catalog.names_image & ~catalog.has_image)
    detail = f"{len(unreadable):,} that are none: kept and masked"
    if len(unreadable):
        example = ItemPictures(catalog).fault(int(unreadable[0]))
        detail += f", such as {example}"
        named = int(catalog.names_image.sum())
        if 2 * len(unreadable) >= named and distributed.is_main():
            logger.warning(
                "%s of %s pictures can't be read, such as %s", f"{len(unreadable):,}", f"{named:,}", example
            )
    return Step("unreadable picture", "items", len(catalog), 0, detail)


def _with_valid_prices(catalog: Catalog) -> tuple[Catalog, int]:
    prices = catalog.column("price").cast(pa.float64())
    valid = pc.fill_null(pc.and_(pc.is_finite(prices), pc.greater_equal(prices, 0.0)), True)
    invalid = len(catalog) - int(pc.sum(valid).as_py() or 0)
    if not invalid:
        return catalog, 0
    known = pc.if_else(valid, prices, pa.scalar(None, pa.float64()))
    return catalog.with_prices(known), invalid


LARGEST_TIME = 9e18
"""Times are kept as int64 seconds."""

TIE_SALT = 0x7469656421
"""Constant, so that the order of ties depends on no seed and is the same in every run."""


@dataclass(frozen=True)
class CodedLog:
    """A cleaned log, sorted by user, time and, within ties, a hash of (user id, item id).

    Args:
        user: (T,) rows of ``user_ids``, ascending.
        item: (T,) catalogue indices.
        time: (T,) int64 seconds.
        user_ids: (U,) original ids, each with a click.
        event: (T,) event types as text; None where the configuration names none.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    user_ids: np.ndarray
    event: pl.Series | None = None


def clean_log(raw: RawData, config: CleaningConfig) -> tuple[CodedLog, list[Step], list[str]]:
    """Run the steps on clicks and collect warnings; see :func:`crossrec.data.cleaning.clean`."""
    if not len(raw.interactions):
        raise InteractionDataError(f"the log of '{raw.name}' is empty: it has no row at all")
    steps: list[Step] = []
    frame = _drop_missing(_select_events(raw.interactions.frame, config, steps), steps)
    frame = _drop_out_of_range(frame, config, steps)
    warnings = [] if raw.ordinal else time_warnings(frame["timestamp"], raw.name)
    frame, user_ids = _encode(frame, raw.catalog, steps)
    user, item, time = (frame[name].to_numpy() for name in ("user", "item", "timestamp"))
    warnings += share_warnings(user, item, user_ids, raw.catalog.item_ids)
    event = frame["event"] if "event" in frame.columns else None
    # A click without an event is a kind of its own.
    kinds = None if event is None else event.to_physical().cast(pl.Int32).fill_null(-1).to_numpy() + 1
    kept = _drop_repeats(user, item, time, kinds, config, steps)
    kept = kept[_k_core(user[kept], item[kept], config, steps)]
    if not len(kept):
        report = CleaningReport((*raw.steps, *steps))
        worst, table = report.worst(), "\n".join([*report.lines(), *warnings])
        raise InteractionDataError(
            f"no click of '{raw.name}' is left after cleaning: the step '{worst.name}' dropped the most, "
            f"{worst.dropped:,} of {len(raw.interactions):,} ({worst.detail})\n{table}"
        )
    codes, user = np.unique(user[kept], return_inverse=True)
    ids = user_ids.gather(codes).to_numpy()
    order = _order_ties(
        user, item[kept], time[kept], None if kinds is None else kinds[kept], ids, raw.catalog.item_ids, steps
    )
    item, time = item[kept][order], time[kept].astype(np.int64)
    return CodedLog(user, item, time, ids, None if event is None else event[kept[order]]), steps, warnings


def _order_ties(
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    kinds: np.ndarray | None,
    user_ids: np.ndarray,
    item_ids: np.ndarray,
    steps: list[Step],
) -> np.ndarray:
    """Return the order of clicks sorted by (user, time), with ties ordered by a hash of (user id, item id).

    Events of a user on one item at one time follow the order of the configuration. File order would leak if a
    file is sorted by item: sequence models learn that order.
    """
    again = np.zeros(len(user), dtype=bool)
    again[1:] = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    share = again.sum() / max(len(user), 1)
    detail = (
        f"{again.sum():,} ({share:.1%}) at the time of the user's click before; ordered by a hash of the ids"
    )
    steps.append(Step("tied time", "clicks", len(user), 0, detail))
    tied = np.flatnonzero(again | np.append(again[1:], False))
    users, user_rows = np.unique(user[tied], return_inverse=True)
    items, item_rows = np.unique(item[tied], return_inverse=True)
    of_users = mix_bits(hash_ids(str(user_ids[row]) for row in users) + np.uint64(TIE_SALT))
    hashes = mix_bits(of_users[user_rows] + hash_ids(str(item_ids[row]) for row in items)[item_rows])
    keys = [hashes, np.cumsum(~again)[tied]]
    order = np.arange(len(item))
    order[tied] = tied[np.lexsort(keys if kinds is None else [kinds[tied], *keys])]
    return order


def _keep(frame: pl.DataFrame, steps: list[Step], name: str, keep: pl.Expr, detail: str) -> pl.DataFrame:
    kept = frame.filter(keep)
    steps.append(Step(name, "clicks", frame.height, frame.height - kept.height, detail))
    return kept


def _count(frame: pl.DataFrame, **conditions: pl.Expr) -> dict[str, int]:
    row = frame.select(**{name: condition.sum() for name, condition in conditions.items()}).row(0, named=True)
    return {name: int(value or 0) for name, value in row.items()}


def _select_events(frame: pl.DataFrame, config: CleaningConfig, steps: list[Step]) -> pl.DataFrame:
    """Drop clicks of event types without a weight; the column ``event`` becomes an Enum of the known types.

    Without ``events`` and ``target_events`` the frame is returned as it is.

    Raises:
        InteractionDataError: if the log has no events, or lacks a type that the configuration names.
    """
    if config.events is None and config.target_events is None:
        return frame
    if "event" not in frame.columns:
        raise InteractionDataError(
            "data.cleaning.events or target_events is set, but the log has no event types: unset it, or name "
            "the column in data.source.interaction_columns.event"
        )
    event = pl.col("event").cast(pl.String).str.strip_chars()
    counts = frame.select(event).drop_nulls().filter(pl.col("event") != "")["event"].value_counts(sort=True)
    there = dict(counts.sort(["count", "event"], descending=[True, False]).rows())
    for key, names in (("events", config.events), ("target_events", config.target_events)):
        unknown = [name for name in names or () if name not in there]
        if unknown:
            values = ", ".join(f"{name} ({count:,})" for name, count in [*there.items()][:_SHOWN_EVENTS])
            raise InteractionDataError(
                f"data.cleaning.{key}: no click has the event '{unknown[0]}'; the log has {values or 'none'}"
            )
    kept = list(config.events or there)
    dropped = ", ".join(f"{name} {count:,}" for name, count in there.items() if name not in kept)
    frame = frame.with_columns(event=pl.when(event != "").then(event))
    none = _count(frame, none=pl.col("event").is_null())["none"]
    detail = f"kept: {', '.join(f'{name} {there[name]:,}' for name in kept)}"
    if config.events is None:
        steps.append(Step("other event", "clicks", frame.height, 0, f"{detail}, without an event {none:,}"))
    else:
        detail += f"; dropped: {dropped or 'no other'}, without an event {none:,}"
        known = pl.col("event").is_in(kept).fill_null(False)
        frame = _keep(frame, steps, "other event", known, detail)
    return frame.with_columns(pl.col("event").cast(pl.Enum(kept)))


_SHOWN_EVENTS = 20


def _meaning(event: pl.Series | None, config: CleaningConfig) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return (T,) weights, None if all are 1, and (T,) whether a click may be a target, None if all may."""
    if event is None:
        return None, None
    weights = targets_T = None
    if config.events is not None and any(weight != 1 for weight in config.events.values()):
        weight_of = np.array(list(config.events.values()), dtype=np.float32)
        weights = weight_of[event.to_physical().to_numpy()]
    if config.target_events is not None:
        targets_T = event.is_in(list(config.target_events)).fill_null(False).to_numpy()
    return weights, targets_T


def _drop_missing(frame: pl.DataFrame, steps: list[Step]) -> pl.DataFrame:
    blank = {name: is_missing(pl.col(f"{name}_id")) for name in ("user", "item")}
    found = _count(frame, **blank)
    detail = ", ".join(
        f"{name} id {found[name]:,}{_words(frame[f'{name}_id'], found[name])}" for name in blank
    )
    frame = _keep(frame, steps, "missing id", ~(blank["user"] | blank["item"]), detail)
    time = pl.col("timestamp")
    usable = (time.is_finite() & (time.abs() < LARGEST_TIME)).fill_null(False)
    found = _count(frame, none=time.is_null(), nan=time.is_nan())
    dropped = _count(frame, all=~usable)["all"]
    infinite = dropped - found["none"] - found["nan"]
    detail = f"none or unreadable {found['none']:,}, NaN {found['nan']:,}, infinite {infinite:,}"
    return _keep(frame, steps, "missing time", usable, detail)


def _words(ids: pl.Series, n_missing: int) -> str:
    """Return the words used for a missing id, with their counts."""
    if not n_missing:
        return ""
    words = (
        pl.DataFrame({"word": ids.drop_nulls()}).filter(is_missing(pl.col("word")))["word"].str.strip_chars()
    )
    counts = words.filter(words != "").value_counts(sort=True).rows()
    return " (" + ", ".join(f"'{word}' {count:,}" for word, count in counts) + ")" if counts else ""


def _drop_out_of_range(frame: pl.DataFrame, config: CleaningConfig, steps: list[Step]) -> pl.DataFrame:
    if config.min_time is not None or config.max_time is not None:
        keep = _within(pl.col("timestamp"), config.min_time, config.max_time)
        detail = "range " + _range(config.min_time, config.max_time, times=True)
        frame = _keep(frame, steps, "time out of range", keep, detail)
    if config.min_rating is not None or config.max_rating is not None:
        if "rating" not in frame.columns:
            raise InteractionDataError(
                "data.cleaning.min_rating or max_rating is set, but the log has no ratings: unset it, or "
                "name the rating column in data.source.interaction_columns.rating"
            )
        rating = pl.col("rating").fill_nan(None)
        keep = _within(rating, config.min_rating, config.max_rating)
        missing = _count(frame, none=rating.is_null())["none"]
        detail = "range " + _range(config.min_rating, config.max_rating, times=False)
        frame = _keep(frame, steps, "rating out of range", keep, f"{detail}, without a rating {missing:,}")
    return frame


def _within(value: pl.Expr, low: float | None, high: float | None) -> pl.Expr:
    inside = value.is_not_null()
    if low is not None:
        inside = inside & (value >= low).fill_null(False)
    if high is not None:
        inside = inside & (value <= high).fill_null(False)
    return inside


def _range(low: float | None, high: float | None, times: bool) -> str:
    low_text, high_text = (
        "any" if bound is None else show_time(bound) if times else f"{bound:g}" for bound in (low, high)
    )
    return f"{low_text} to {high_text}"


def _encode(frame: pl.DataFrame, catalog: Catalog, steps: list[Step]) -> tuple[pl.DataFrame, pl.Series]:
    """Drop unknown items, encode ids as numbers, and sort by (user, time)."""
    event = ["event"] if isinstance(frame.schema.get("event"), pl.Enum) else []
    log = frame.select("user_id", "item_id", "timestamp", *event).with_columns(
        item=_codes(pl.col("item_id"), pl.Series(list(catalog.index), dtype=pl.String))
    )
    unknown = log.filter(pl.col("item").is_null())["item_id"]
    detail = "not in the catalogue"
    if len(unknown):
        detail += f": {unknown.n_unique():,} ids such as '{unknown.sort()[0]}'{_zeros(unknown, catalog)}"
    log = _keep(log.drop("item_id"), steps, "unknown item", pl.col("item").is_not_null(), detail)
    user_ids = log["user_id"].unique(maintain_order=True)
    log = log.select("item", "timestamp", *event, user=_codes(pl.col("user_id"), user_ids))
    return log.sort("user", "timestamp", maintain_order=True), user_ids


def _zeros(unknown: pl.Series, catalog: Catalog) -> str:
    """Return a hint where most unknown ids differ from items only by leading zeros."""
    ids = unknown.unique().sort()
    known = pl.Series(list(catalog.index), dtype=pl.String)
    bare = pl.DataFrame({"bare": known.str.strip_chars_start("0"), "known": known}).unique(
        "bare", keep="first"
    )
    found = pl.DataFrame({"id": ids, "bare": ids.str.strip_chars_start("0")}).join(bare, "bare", how="inner")
    if 2 * found.height <= len(ids):
        return ""
    first = found.sort("id").row(0, named=True)
    return (
        f"; {found.height:,} would match but for zeros in front ('{first['id']}' is '{first['known']}' among "
        "the items): write the ids of both files alike, as text"
    )


def _codes(ids: pl.Expr, known: pl.Series) -> pl.Expr:
    """Return the index of each id among the known ones, null where unknown."""
    places = pl.Series(np.arange(len(known), dtype=np.int32))
    return ids.replace_strict(known, places, default=None, return_dtype=pl.Int32)


def _drop_repeats(
    user: np.ndarray,
    item: np.ndarray,
    time: np.ndarray,
    kinds: np.ndarray | None,
    config: CleaningConfig,
    steps: list[Step],
) -> np.ndarray:
    """Return the rows that are kept, in order; rows are sorted by (user, time)."""
    n_items = int(item.max(initial=0)) + 1
    pair = user.astype(np.int64) * n_items + item
    same, repeated = "same user, item and time", "a user's later click on an item"
    if kinds is not None:
        pair = pair * (int(kinds.max(initial=0)) + 1) + kinds
        same, repeated = "same user, item, time and event", f"{repeated} of the same event"
    order = np.argsort(pair, kind="stable")  # one user's clicks on one item, oldest first
    again = np.zeros(len(pair), dtype=bool)
    again[order[1:]] = pair[order[1:]] == pair[order[:-1]]
    duplicate = np.zeros(len(pair), dtype=bool)
    duplicate[order[1:]] = again[order[1:]] & (time[order[1:]] == time[order[:-1]])
    kept = np.flatnonzero(~duplicate)
    dropped = len(pair) - len(kept)
    steps.append(Step("exact duplicate", "clicks", len(pair), dropped, same))
    repeats = int(again.sum()) - dropped
    if config.repeats == "drop":
        steps.append(Step("repeat click", "clicks", len(kept), repeats, repeated))
        return np.flatnonzero(~again)
    steps.append(Step("repeat click", "clicks", len(kept), 0, f"{repeats:,} kept"))
    return kept


def _k_core(user: np.ndarray, item: np.ndarray, config: CleaningConfig, steps: list[Step]) -> np.ndarray:
    """Return rows of the largest part of the log in which every user and item has enough clicks."""
    kept = np.arange(len(user))
    rounds = 0
    while len(kept) and max(config.k_users, config.k_items) > 1:
        users, items = user[kept], item[kept]
        enough = (np.bincount(users) >= config.k_users)[users] & (np.bincount(items) >= config.k_items)[items]
        if enough.all():
            break
        kept = kept[enough]
        rounds += 1
    lost_users, lost_items = (
        np.count_nonzero(np.bincount(codes)) - np.count_nonzero(np.bincount(codes[kept]))
        for codes in (user, item)
    )
    detail = f"users >= {config.k_users}, items >= {config.k_items}: {rounds} rounds, "
    detail += f"{lost_users:,} users and {lost_items:,} items gone"
    steps.append(Step("k-core", "clicks", len(user), len(user) - len(kept), detail))
    return kept
