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

    def split(self, clicks: Sequences, n_items: int, *, repeats: bool = False) -> Split:
        """Divide a log.

        Args:
            clicks: one row per user, oldest first.
            n_items: N, size of the catalogue.
            repeats: whether an item of the history can be a target.

        Raises:
            SplitError: if no user has enough clicks.
        """
        lengths = clicks.lengths
        long_enough = np.flatnonzero(lengths > 2 * self.options.n_last)
        train_ends = lengths.copy()
        train_ends[long_enough] -= 2 * self.options.n_last
        first = first_clicks(clicks, n_items)
        valid, valid_counts = self._last(clicks, long_enough, 2 * self.options.n_last, first, repeats)
        test, test_counts = self._last(clicks, long_enough, self.options.n_last, first, repeats)
        excluded = {
            f"users with fewer than {2 * self.options.n_last + 1} clicks": len(clicks) - len(long_enough)
        }
        excluded |= {f"valid: {reason}": count for reason, count in valid_counts.items()}
        excluded |= {f"test: {reason}": count for reason, count in test_counts.items()}
        each = "click tests" if self.options.n_last == 1 else f"{self.options.n_last} clicks test"
        protocol = f"leave-one-out: each user's last {each}, as many before validate, one query a click"
        protocol = with_repeats(protocol, repeats)
        split = Split(clicks, train_ends, valid, test, n_items, protocol, excluded)
        return require_parts(split, "Lower data.split.n_last or raise data.cleaning.k_users")

    def _last(
        self, clicks: Sequences, users: np.ndarray, from_end: int, first: np.ndarray, repeats: bool
    ) -> tuple[Queries, dict[str, int]]:
        rows = np.repeat(users, self.options.n_last)
        steps = np.tile(np.arange(self.options.n_last), len(users))
        positions = clicks.lengths[rows] - from_end + steps
        return build_eval_queries(clicks, first, rows, positions, positions, positions + 1, repeats=repeats)
