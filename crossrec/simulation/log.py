"""The log that a simulation writes: what the users clicked, as CSR arrays that grow."""

from __future__ import annotations

import numpy as np

from crossrec.types import Sequences


def joined(first: Sequences, second: Sequences) -> Sequences:
    """The rows of two logs, one below the other; with times where both have them."""
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]).astype(np.int64)
    items = np.concatenate([first.items, second.items])
    if first.times is None or second.times is None:
        return Sequences(offsets, items)
    return Sequences(offsets, items, np.concatenate([first.times, second.times]))


def extended(log: Sequences, users_T: np.ndarray, items_T: np.ndarray, time: int) -> Sequences:
    """A log with T more clicks at the ends of their users' rows.

    Args:
        log: U rows.
        users_T: rows of the clicks; several clicks of a user in the order in which they happened.
        items_T: what was clicked.
        time: seconds, of all of them, where the log has times.
    """
    counts_U = np.bincount(users_T, minlength=len(log))
    offsets = np.concatenate([[0], np.cumsum(log.lengths + counts_U)]).astype(np.int64)
    moved = np.repeat(offsets[:-1] - log.offsets[:-1], log.lengths) + np.arange(len(log.items))
    order = np.argsort(users_T, kind="stable")
    before = np.repeat(offsets[1:] - counts_U, counts_U)
    nth = np.arange(len(users_T)) - np.repeat(np.cumsum(counts_U) - counts_U, counts_U)
    items = np.empty(offsets[-1], dtype=np.int64)
    items[moved], items[before + nth] = log.items, items_T[order]
    if log.times is None:
        return Sequences(offsets, items)
    times = np.empty(offsets[-1], dtype=np.int64)
    times[moved], times[before + nth] = log.times, time
    return Sequences(offsets, items, times)
