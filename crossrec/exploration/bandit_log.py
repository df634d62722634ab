"""Logged lists with propensities as a file, and the estimates of another policy's value from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from crossrec.evaluation.predictions import cast_columns, read_rows
from crossrec.exploration.off_policy import (
    LoggedLists,
    PolicyValue,
    Settings,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)
from crossrec.types import InputError

TYPES: dict[str, type[pl.DataType]] = {
    "list_id": pl.String,
    "user_id": pl.String,
    "item_id": pl.String,
    "rank": pl.Int64,
    "propensity": pl.Float64,
    "reward": pl.Float64,
    "target": pl.Float64,
    "predicted": pl.Float64,
    "expected": pl.Float64,
}
"""Columns of a log, one row per shown item; see :func:`read_bandit_log`."""


class BanditLogError(InputError):
    """A log that can't be used; the message names the file, and the row or column."""


@dataclass(frozen=True)
class BanditLog:
    """Logged lists with what a target policy would do.

    Args:
        logged: rewards, propensities and users.
        target_TK: probability with which the target policy puts the logged item at its place.
        predicted_TK: a reward model's prediction for the logged item at its place; None without a model.
        expected_T: its expected reward of the target policy's list; None without a model.
    """

    logged: LoggedLists
    target_TK: np.ndarray
    predicted_TK: np.ndarray | None = None
    expected_T: np.ndarray | None = None

    def values(self, settings: Settings | None = None) -> dict[str, PolicyValue]:
        """Return the value of the logging policy, ``logged``, and estimates ``IPS``, ``SNIPS`` and ``DR``.

        ``DR`` needs a reward model's predictions.

        Args:
            settings: cap and interval.
        """
        settings = settings or Settings()
        as_logged = Settings(None, settings.interval, settings.resamples, settings.seed)
        found = {
            "logged": inverse_propensity(self.logged, self.logged.propensities_TK, as_logged),
            "IPS": inverse_propensity(self.logged, self.target_TK, settings),
            "SNIPS": self_normalised(self.logged, self.target_TK, settings),
        }
        if self.predicted_TK is not None and self.expected_T is not None:
            model = self.predicted_TK, self.expected_T
            found["DR"] = doubly_robust(self.logged, self.target_TK, *model, settings)
        return found


def read_bandit_log(path: Path, lists: Path | None = None) -> BanditLog:
    """Read a log, Parquet or CSV, with one row per shown item.

    Columns: ``propensity``, the probability with which the logging policy put the item at its place, and
    ``reward``. ``target`` is the same probability under the target policy; ``lists`` stands in for it where
    that policy is deterministic. ``list_id`` and ``rank`` (from 1) group rows to lists of K places; without
    them each row is a list of one. ``user_id`` groups the lists that are not independent. ``predicted`` and
    ``expected`` are a reward model's, see :class:`BanditLog`. Other columns are ignored.

    Args:
        path: log, ending in ``.parquet`` or ``.csv``.
        lists: file of the target policy's lists, one per user, with ``user_id``, ``item_id`` and ``rank``, as
            ``crossrec recommend --out`` writes it; the log then needs ``user_id`` and ``item_id``.

    Raises:
        BanditLogError: if a column is missing or holds a wrong value, or lists are incomplete.
    """
    frame = read_rows(path, "logged lists", BanditLogError)
    wanted = ["propensity", "reward", *(["target"] if lists is None else ["user_id", "item_id"])]
    _require(path, frame, wanted, "; without it, name the target policy's lists" if lists is None else "")
    if lists is not None and "target" in frame.columns:
        raise BanditLogError(f"{path}: has a column 'target' already; drop it, or leave {lists} out")
    if ("predicted" in frame.columns) != ("expected" in frame.columns):
        raise BanditLogError(f"{path}: a reward model needs both columns, 'predicted' and 'expected'")
    frame = cast_columns(path, frame, TYPES, BanditLogError)
    if not frame.height:
        raise BanditLogError(f"{path}: the file has no rows")
    _check_numbers(path, frame)
    list_R, place_R = _places(path, frame)
    shape = (int(list_R.max()) + 1, int(place_R.max()) + 1)
    first_T = np.unique(list_R, return_index=True)[1]

    def table(values_R: np.ndarray) -> np.ndarray:
        values_TK = np.zeros(shape)
        values_TK[list_R, place_R] = values_R
        return values_TK

    for name in ("user_id", "expected"):
        if name in frame.columns:
            values = frame[name].to_numpy()
            _reject(path, frame, values != values[first_T][list_R], name, "other rows of its list differ")
    target_R = frame["target"].to_numpy() if lists is None else _listed(path, frame, place_R, lists)
    users_T = frame["user_id"].to_numpy()[first_T] if "user_id" in frame.columns else None
    logged = LoggedLists(table(frame["reward"].to_numpy()), table(frame["propensity"].to_numpy()), users_T)
    if logged.groups().max() == 0:
        one = "list" if users_T is None else "user"
        raise BanditLogError(f"{path}: holds one {one} only; intervals are over {one}s, so give several")
    model = "predicted" in frame.columns
    return BanditLog(
        logged,
        table(target_R),
        table(frame["predicted"].to_numpy()) if model else None,
        frame["expected"].to_numpy()[first_T] if model else None,
    )


def _require(path: Path, frame: pl.DataFrame, names: list[str], advice: str = "") -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise BanditLogError(f"{path}: lacks the column '{missing[0]}'; it has {frame.columns}{advice}")


def _reject(path: Path, frame: pl.DataFrame, bad_R: np.ndarray, column: str, reason: str) -> None:
    if bad_R.any():
        row = int(bad_R.argmax())
        raise BanditLogError(
            f"{path}: row {row + 1}: column '{column}' holds {frame[column][row]!r}: {reason} "
            f"({int(bad_R.sum())} such rows)"
        )


def _check_numbers(path: Path, frame: pl.DataFrame) -> None:
    for name in ("reward", "predicted", "expected"):
        if name in frame.columns:
            _reject(path, frame, ~np.isfinite(frame[name].to_numpy()), name, "it is not finite")
    chance_R = frame["propensity"].to_numpy()
    outside = "a propensity is above 0 and at most 1; leave out lists whose propensity is unknown"
    _reject(path, frame, ~((chance_R > 0) & (chance_R <= 1)), "propensity", outside)
    if "target" in frame.columns:
        target_R = frame["target"].to_numpy()
        _reject(path, frame, ~((target_R >= 0) & (target_R <= 1)), "target", "a probability is 0 to 1")


def _places(path: Path, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return (R,) numbers of lists, in the order of the file, and (R,) places from 0."""
    if "rank" in frame.columns:
        place_R = frame["rank"].to_numpy() - 1
        _reject(path, frame, place_R < 0, "rank", "ranks start at 1")
    else:
        place_R = np.zeros(frame.height, np.int64)
    if "list_id" not in frame.columns:
        if "rank" in frame.columns:
            _reject(path, frame, place_R > 0, "rank", "lists of several places need the column 'list_id'")
        return np.arange(frame.height), place_R
    names, first, list_R = np.unique(frame["list_id"].to_numpy(), return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))
    list_R = number[list_R]
    width = int(place_R.max()) + 1
    key_R = list_R * width + place_R
    seen = np.zeros(frame.height, bool)
    seen[np.unique(key_R, return_index=True)[1]] = True
    where = "rank" if "rank" in frame.columns else "list_id"
    _reject(path, frame, ~seen, where, "this place of its list has a row already; number places by 'rank'")
    short_T = np.bincount(list_R, minlength=len(names)) < width
    reason = f"its list lacks one of the places 1 to {width}; every list needs all of them"
    _reject(path, frame, short_T[list_R], "list_id", reason)
    return list_R, place_R


def _listed(path: Path, frame: pl.DataFrame, place_R: np.ndarray, lists: Path) -> np.ndarray:
    """Return (R,) 1 where the target policy's list has the logged item at its place, else 0."""
    types = {name: TYPES[name] for name in ("user_id", "item_id", "rank")}
    given = read_rows(lists, "lists", BanditLogError)
    _require(lists, given, list(types))
    given = cast_columns(lists, given, types, BanditLogError)
    twice = given.select(pl.struct("user_id", "rank").is_duplicated()).to_series().to_numpy()
    _reject(lists, given, twice, "rank", "it is repeated in this user's list")
    unknown_R = ~frame["user_id"].is_in(given["user_id"].implode()).to_numpy()
    _reject(path, frame, unknown_R, "user_id", f"{lists} has no list of this user")
    longest, width = int(given["rank"].to_numpy().max(initial=0)), int(place_R.max()) + 1
    if longest < width:
        raise BanditLogError(f"{lists}: its lists have {longest} places, those of {path} {width}")
    shown = frame.select("user_id", "item_id").with_columns(pl.Series("rank", place_R + 1))
    there = given.with_columns(pl.lit(1.0).alias("target"))
    joined = shown.join(there, on=list(types), how="left", maintain_order="left")
    return joined["target"].fill_null(0.0).to_numpy()
