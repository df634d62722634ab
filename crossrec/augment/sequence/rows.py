"""Rows of CSR sequences: where clicks stand in them, and taking rows from several sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossrec.types import Sequences


def place_of_click(samples: Sequences) -> np.ndarray:
    """(T,) place of each click in its row, from 0."""
    starts = np.asarray(samples.offsets[:-1]) - samples.offsets[0]
    return np.arange(len(samples.items)) - np.repeat(starts, samples.lengths)


def choose_clicks(samples: Sequences, kept_T: np.ndarray) -> Sequences:
    """The same rows with some of their clicks, in order."""
    counts = np.concatenate([[0], np.cumsum(kept_T)])
    times = None if samples.times is None else samples.times[kept_T]
    return Sequences(counts[samples.offsets], samples.items[kept_T], times)


def stack(parts: Sequence[Sequences]) -> Sequences:
    """All rows of several sequences, one after the other; times only where all have them."""
    lengths = np.concatenate([part.lengths for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    times = [part.times for part in parts if part.times is not None]
    return Sequences(
        offsets,
        np.concatenate([part.items for part in parts]),
        np.concatenate(times) if len(times) == len(parts) else None,
    )


def replace_rows(samples: Sequences, rows: np.ndarray, by: Sequences) -> Sequences:
    """The samples with some rows replaced.

    Args:
        samples: B rows.
        rows: (R,) which, none twice.
        by: R rows to put there.
    """
    source = np.arange(len(samples))
    source[rows] = len(samples) + np.arange(len(rows))
    return stack([samples, by]).take(source)


def differs(samples: Sequences, others: Sequences) -> np.ndarray:
    """(B,) bool, rows whose items are not the same in the same order."""
    different = samples.lengths != others.lengths
    same = np.flatnonzero(~different)
    left, right = samples.take(same), others.take(same)
    unlike = left.items != right.items
    different[same[left.row_of_click[unlike]]] = True
    return different


def holds(samples: Sequences, rows_C: np.ndarray, ids_CK: np.ndarray) -> np.ndarray:
    """(C, K) bool, whether row ``rows_C`` holds each of the items beside it."""
    stride = int(max(samples.items.max(initial=0), ids_CK.max(initial=0))) + 2
    held = np.sort(samples.row_of_click * stride + samples.items + 1)
    asked_CK = rows_C[:, None] * stride + ids_CK + 1
    place_CK = np.minimum(np.searchsorted(held, asked_CK), max(len(held) - 1, 0))
    return held[place_CK] == asked_CK if len(held) else np.zeros(ids_CK.shape, dtype=bool)
