"""The temporal split: two points in time cut all users at once."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from crossrec.config import ComponentOptions
from crossrec.data.interactions import TimePoint, show_time
from crossrec.data.splits.base import (
    Queries,
    Split,
    SplitError,
    Splitter,
    build_eval_queries,
    first_clicks,
    require_parts,
    with_repeats,
)
from crossrec.types import Sequences


class TemporalSplitter(Splitter):
    """Temporal split: two points in time cut all users; the first begins validation, the second the test.

    A click exactly at a point belongs to the window that begins there, so clicks of one time are never
    divided. A query's history is all of the user's clicks before its window; users without a history are
    omitted and counted.

    Args:
        options: the two points, and the targets of a query.

    Source:
        Ji et al. 2023, "A critical study on data leakage in recommender system offline evaluation".
    """

    class Options(ComponentOptions):
        """Options of the temporal split.

        Args:
            valid_from: where the validation window begins.
            test_from: where the test window begins.
            unit: "fraction": the points are fractions of all clicks, ordered by time; "time": they are
                times (seconds, ISO dates or datetimes).
            targets: "all" clicks of the user in the window, or only the "next" one.
        """

        valid_from: TimePoint = 0.8
        test_from: TimePoint = 0.9
        unit: Literal["fraction", "time"] = "fraction"
        targets: Literal["all", "next"] = "all"

        @model_validator(mode="after")
        def _points_are_in_order(self) -> Self:
            if self.valid_from >= self.test_from:
                raise ValueError(
                    f"valid_from {self.valid_from:g} must be before test_from {self.test_from:g}"
                )
            if self.unit == "fraction" and not (self.valid_from > 0 and self.test_from < 1):
                raise ValueError("fractions must lie between 0 and 1; set unit to 'time' for points in time")
            return self

    options: Options

    def split(
        self,
        clicks: Sequences,
        n_items: int,
        *,
        repeats: bool = False,
        targets_T: np.ndarray | None = None,
    ) -> Split:
        """Divide a log.

        Args:
            clicks: one row per user, oldest first, with times.
            n_items: N, size of the catalogue.
            repeats: whether an item of the history can be a target.
            targets_T: (T,) bool, clicks that can be targets; all of them when None.

        Raises:
            SplitError: if there are no times, they fall within a row, or a part stays empty.
        """
        times = _sorted_times(clicks)
        valid_from, test_from = (
            self._point(times, point) for point in (self.options.valid_from, self.options.test_from)
        )
        train_ends = _count_before(clicks, times, valid_from)
        valid_ends = _count_before(clicks, times, test_from)
        first = first_clicks(clicks, n_items)
        valid, valid_counts = self._window(clicks, first, train_ends, valid_ends, repeats, targets_T)
        test, test_counts = self._window(clicks, first, valid_ends, clicks.lengths, repeats, targets_T)
        excluded = {f"valid: {reason}": count for reason, count in valid_counts.items()}
        excluded |= {f"test: {reason}": count for reason, count in test_counts.items()}
        what = "all later clicks" if self.options.targets == "all" else "the next click"
        protocol = (
            f"temporal: validation from {show_time(valid_from)}, test from {show_time(test_from)}, "
            f"{what} of a user's window from the history before it"
        )
        protocol = with_repeats(protocol, repeats)
        split = Split(clicks, train_ends, valid, test, n_items, protocol, excluded)
        return require_parts(split, "Move data.split.valid_from and data.split.test_from")

    def _point(self, times: np.ndarray, point: float) -> float:
        if self.options.unit == "time":
            return point
        rank = int(point * len(times))
        return float(np.partition(times, rank)[rank])

    def _window(
        self,
        clicks: Sequences,
        first: np.ndarray,
        starts: np.ndarray,
        stops: np.ndarray,
        repeats: bool,
        targets_T: np.ndarray | None,
    ) -> tuple[Queries, dict[str, int]]:
        active = stops > starts
        users = np.flatnonzero(active & (starts > 0))
        ends, end = starts[users], stops[users]
        begin = ends
        if self.options.targets == "next":
            begin = ends if targets_T is None else _next_target(clicks, users, ends, end, targets_T)
            end = np.minimum(begin + 1, end)
        queries, counts = build_eval_queries(
            clicks, first, users, ends, begin, end, repeats=repeats, targets_T=targets_T
        )
        without = {
            "users without a click in the window": int((~active).sum()),
            "users without a history": int((active & (starts == 0)).sum()),
        }
        return queries, without | counts


def _next_target(
    clicks: Sequences, users: np.ndarray, begin: np.ndarray, end: np.ndarray, targets_T: np.ndarray
) -> np.ndarray:
    """Return (Q,) place of each user's first possible target from ``begin`` on, at most ``end``."""
    places = np.append(np.flatnonzero(targets_T), len(targets_T))
    base = np.asarray(clicks.offsets)[users]
    return np.minimum(places[np.searchsorted(places, base + begin)] - base, end)


def _sorted_times(clicks: Sequences) -> np.ndarray:
    if clicks.times is None:
        raise SplitError("the temporal split needs times, and these clicks have none: set data.split.type")
    times = np.asarray(clicks.times)
    falls = np.flatnonzero(np.diff(times) < 0) + 1
    bad = falls[~np.isin(falls, clicks.offsets)]
    if len(bad):
        row = int(np.searchsorted(clicks.offsets, bad[0], side="right")) - 1
        raise SplitError(f"the clicks of row {row} are not sorted by time: sort them before the split")
    return times


def _count_before(clicks: Sequences, times: np.ndarray, point: float) -> np.ndarray:
    """Return (U,) clicks of each user before a point in time."""
    before = np.concatenate([[0], np.cumsum(times < point)])
    return before[clicks.offsets[1:]] - before[clicks.offsets[:-1]]
