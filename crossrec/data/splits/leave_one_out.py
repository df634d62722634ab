"""The leave-one-out split and its n-last form."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from crossrec.config import ComponentOptions
from crossrec.data.splits.base import (
    Queries,
    Split,
    Splitter,
    build_eval_queries,
    first_clicks,
    require_parts,
    with_repeats,
)
from crossrec.types import Sequences


class LeaveOneOutSplitter(Splitter):
    """Leave-one-out split: each user's last ``n_last`` clicks test, the ``n_last`` before those validate.

    Every such click is one query, predicted from all of the user's clicks before it. A user with fewer
    than ``2 * n_last + 1`` clicks keeps them all for training and has no query. Users are cut at
    different times, so training may hold clicks later than another user's test click: use it to compare with
    published numbers, and the temporal split for what a service would see.

    Args:
        options: number of clicks for test and validation.

    Source:
        Kang and McAuley 2018, "Self-attentive sequential recommendation" (``n_last`` = 1).
    """

    class Options(ComponentOptions):
        """Options of the leave-one-out split.

        Args:
            n_last: clicks of each user in each of the two parts.
        """

        n_last: int = Field(default=1, ge=1, le=10_000)

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
            clicks: one row per user, oldest first.
            n_items: N, size of the catalogue.
            repeats: whether an item of the history can be a target.
            targets_T: (T,) bool, clicks that can be targets; all of them when None.

        Raises:
            SplitError: if no user has enough clicks.
        """
        n_last = self.options.n_last
        users, held_UH = _last_targets(clicks, 2 * n_last, targets_T)
        train_ends = clicks.lengths.copy()
        train_ends[users] = held_UH[:, 0]
        first = first_clicks(clicks, n_items)
        (valid, valid_counts), (test, test_counts) = (
            _one_each(clicks, users, places_UH, first, repeats)
            for places_UH in (held_UH[:, :n_last], held_UH[:, n_last:])
        )
        short = f"users with fewer than {2 * n_last + 1} clicks"
        if targets_T is not None:
            short = f"users with fewer than {2 * n_last} clicks that can be targets, or none before them"
        excluded = {short: len(clicks) - len(users)}
        excluded |= {f"valid: {reason}": count for reason, count in valid_counts.items()}
        excluded |= {f"test: {reason}": count for reason, count in test_counts.items()}
        each = "click tests" if self.options.n_last == 1 else f"{self.options.n_last} clicks test"
        protocol = f"leave-one-out: each user's last {each}, as many before validate, one query a click"
        protocol = with_repeats(protocol, repeats)
        split = Split(clicks, train_ends, valid, test, n_items, protocol, excluded)
        return require_parts(split, "Lower data.split.n_last or raise data.cleaning.k_users")


def _last_targets(clicks: Sequences, n: int, targets_T: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (U',) users with n possible targets and a click before them, and (U', n) their last places."""
    if targets_T is None:
        users = np.flatnonzero(clicks.lengths > n)
        return users, clicks.lengths[users][:, None] - n + np.arange(n)
    position = np.flatnonzero(targets_T)
    counts = np.bincount(clicks.row_of_click[position], minlength=len(clicks))
    users = np.flatnonzero(counts >= n)
    held_UH = position[np.cumsum(counts)[users][:, None] - n + np.arange(n)]
    held_UH -= np.asarray(clicks.offsets)[users][:, None]
    enough = held_UH[:, 0] > 0
    return users[enough], held_UH[enough]


def _one_each(
    clicks: Sequences, users: np.ndarray, places_UH: np.ndarray, first: np.ndarray, repeats: bool
) -> tuple[Queries, dict[str, int]]:
    """Return a query for each held-out click, from all clicks before it."""
    rows = np.repeat(users, places_UH.shape[1])
    places = places_UH.ravel()
    return build_eval_queries(clicks, first, rows, places, places, places + 1, repeats=repeats)
