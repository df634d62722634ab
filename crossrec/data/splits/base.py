"""Splits into training, validation and test, with no click after the cut in training.

Every split keeps, of each user, a prefix of the sorted clicks for training; validation and test are
queries: a history (a longer prefix) and the clicks that it should predict.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from crossrec.config import Component
from crossrec.types import InputError, Sequences

BLOCK = 1_000_000
"""Number of clicks sorted at once."""


class SplitError(InputError):
    """A log that can't be divided as configured; the message names the config key to change."""


@dataclass(frozen=True)
class Queries:
    """Queries of an evaluation: histories and targets.

    Args:
        users: (Q,) rows of the split's ``clicks``.
        ends: (Q,) number of the user's first clicks that form the history.
        targets: Q rows of target items.
    """

    users: np.ndarray
    ends: np.ndarray
    targets: Sequences

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: np.ndarray) -> Queries:
        """Return some of the queries."""
        return Queries(self.users[rows], self.ends[rows], self.targets.take(rows))


@dataclass(frozen=True)
class Split:
    """A log divided into training, validation and test.

    Args:
        clicks: all clicks, one row per user.
        train_ends: (U,) number of a user's first clicks in training.
        valid: queries of the validation part.
        test: queries of the test part.
        n_items: N, size of the catalogue.
        protocol: one-line description of the split.
        excluded: counted reasons why users have no query.
    """

    clicks: Sequences
    train_ends: np.ndarray
    valid: Queries
    test: Queries
    n_items: int
    protocol: str
    excluded: dict[str, int]

    @cached_property
    def train(self) -> Sequences:
        """Training clicks, one row per user (rows may be empty)."""
        return self.clicks.take(np.arange(len(self.clicks)), self.train_ends)

    @cached_property
    def train_counts(self) -> np.ndarray:
        """(N,) training clicks of each item."""
        return np.bincount(self.train.items, minlength=self.n_items)

    @cached_property
    def cold(self) -> np.ndarray:
        """(N,) bool, items without any training click."""
        return self.train_counts == 0

    def histories(self, queries: Queries) -> Sequences:
        """Return the histories of some queries, Q rows."""
        return self.clicks.take(queries.users, queries.ends)

    def request_times(self, queries: Queries) -> np.ndarray:
        """Return the (Q,) times of some queries: that of the last click of the history.

        The least number for an empty history; the number of the query where clicks have no times.
        """
        if self.clicks.times is None:
            return np.arange(len(queries))
        last_Q = np.asarray(self.clicks.offsets)[queries.users] + queries.ends - 1
        times_Q = np.asarray(self.clicks.times)[np.maximum(last_Q, 0)]
        return np.where(queries.ends > 0, times_Q, np.iinfo(np.int64).min)

    def queries(self, name: Literal["valid", "test"]) -> Queries:
        """Return the validation or the test queries.

        Raises:
            InputError: if there is no such part.
        """
        parts = {"valid": self.valid, "test": self.test}
        if name not in parts:
            raise InputError(f"'{name}' is no part with queries; choose valid or test")
        return parts[name]


class Splitter(Component, ABC):
    """Base of splits: divides a log into training clicks and queries.

    Args:
        options: options of the cuts.
    """

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
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
            clicks: one row per user, oldest click first.
            n_items: N, size of the catalogue.
            repeats: whether an item of the history can be a target.
            targets_T: (T,) bool, clicks that can be targets; all of them when None. Histories and training
                hold the others too.

        Raises:
            SplitError: if the log can't be divided so, or a part stays empty.
        """


def first_clicks(clicks: Sequences, n_items: int) -> np.ndarray:
    """Return (T,) position, within ``clicks``, of the user's first click on the item of each click."""
    found = np.empty(len(clicks.items), dtype=np.int64)
    # Some users at a time: sorting takes several times the memory of what it sorts.
    rows = np.searchsorted(clicks.offsets, np.arange(0, len(found) + BLOCK, BLOCK))
    for start, stop in itertools.pairwise(np.unique(np.minimum(rows, len(clicks)))):
        begin, end = clicks.offsets[start], clicks.offsets[stop]
        user = np.repeat(np.arange(start, stop, dtype=np.int64), clicks.lengths[start:stop])
        key = user * n_items + clicks.items[begin:end]
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        found[begin:end] = begin + first[inverse]
    return found


def build_eval_queries(
    clicks: Sequences,
    first: np.ndarray,
    users: np.ndarray,
    ends: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    *,
    repeats: bool,
    targets_T: np.ndarray | None = None,
) -> tuple[Queries, dict[str, int]]:
    """Return queries with their distinct targets; items of the history are targets only with ``repeats``.

    Args:
        clicks: all clicks, one row per user.
        first: (T,) from :func:`first_clicks`.
        users: (Q,) rows of ``clicks``.
        ends: (Q,) clicks of the user that form the history.
        starts: (Q,) first target, counted within the user's row; ``ends <= starts``.
        stops: (Q,) one past the last target.
        repeats: whether an item of the history can be a target, as where lists may hold seen items.
        targets_T: (T,) bool, clicks that can be targets; all of them when None.

    Returns:
        The queries that keep a target; counts of removed targets, of queries that lost all of theirs.
    """
    base = clicks.offsets[users]
    lengths = stops - starts
    query = np.repeat(np.arange(len(users)), lengths)
    shift = base + starts - (np.cumsum(lengths) - lengths)
    position = np.arange(len(query)) + shift[query]
    n_other = 0
    if targets_T is not None:
        wanted = targets_T[position]
        query, position = query[wanted], position[wanted]
        n_other = int((~wanted).sum())
    seen = first[position] < (base + ends)[query]
    again = _repeated(query, clicks.items[position])
    if not repeats:
        again &= ~seen
    kept = ~again if repeats else ~again & ~seen
    left = np.bincount(query[kept], minlength=len(users))
    answered = left > 0
    offsets = np.concatenate([[0], np.cumsum(left[answered])]).astype(np.int64)
    targets = Sequences(offsets, np.asarray(clicks.items[position[kept]], dtype=np.int64))
    counts = {"targets clicked twice": int(again.sum())}
    if targets_T is not None:
        counts = {"clicks of other events": n_other, **counts}
    if not repeats:
        counts = {
            "targets already in the history": int(seen.sum()),
            **counts,
            "queries without a new target": int((~answered).sum()),
        }
    elif targets_T is not None:
        counts["queries without a target"] = int((~answered).sum())
    return Queries(users[answered], ends[answered], targets), counts


def with_repeats(protocol: str, repeats: bool) -> str:
    """Return the description of the split, with whether repeat clicks are targets."""
    return f"{protocol}, repeat clicks are targets too" if repeats else protocol


def _repeated(query: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return (T,) bool, whether an earlier target of the same query is the same item."""
    order = np.lexsort((items, query))  # stable: of equal targets the earliest stands first
    same = (np.diff(query[order]) == 0) & (np.diff(items[order]) == 0)
    repeated = np.zeros(len(query), dtype=bool)
    repeated[order[1:]] = same
    return repeated


def require_parts(split: Split, advice: str) -> Split:
    """Return the split, if no part is empty.

    Raises:
        SplitError: if there is no training click, or a part has no query; ``advice`` is the remedy.
    """
    parts = {"training click": split.train_ends.sum(), "validation query": len(split.valid)}
    for name, size in {**parts, "test query": len(split.test)}.items():
        if not size:
            raise SplitError(f"the split ({split.protocol}) leaves no {name}; {split.excluded}. {advice}")
    return split
