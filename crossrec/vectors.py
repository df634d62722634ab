"""Arithmetic on rows of arrays: unit length, centring, padding."""

from __future__ import annotations

import numpy as np


def unit_rows(rows_NW: np.ndarray, *, smallest: float = 0.0) -> np.ndarray:
    """Divide each row by its Euclidean length.

    Args:
        rows_NW: (N, W) vectors; integers are converted to float64.
        smallest: length up to which rows become zeros.

    Returns:
        (N, W) floating point, in the precision of the rows.
    """
    lengths_N1 = np.linalg.norm(rows_NW, axis=1, keepdims=True)
    unit_NW = np.zeros(rows_NW.shape, np.result_type(rows_NW, lengths_N1))
    return np.divide(rows_NW, lengths_N1, out=unit_NW, where=lengths_N1 > smallest)


def centred_rows(
    vectors_NW: np.ndarray, present_N: np.ndarray, mean_W: np.ndarray | None = None
) -> np.ndarray:
    """Subtract the mean of the rows that are present; rows that are not present become zeros.

    Vectors of pretrained encoders are in a narrow cone: without centring, all items are similar.

    Args:
        vectors_NW: (N, W) floating point; arbitrary where not present.
        present_N: (N,) bool, present rows.
        mean_W: mean to subtract in place of that of the present rows.
    """
    if mean_W is None:
        if not present_N.any():
            return np.zeros_like(vectors_NW)
        mean_W = vectors_NW[present_N].mean(0)
    return np.where(present_N[:, None], vectors_NW - mean_W, 0)


def pad_rows(values_T: np.ndarray, lengths_B: np.ndarray, fill: int = 0) -> np.ndarray:
    """Pad ragged rows on the right.

    Args:
        values_T: values of all rows, one row after the other.
        lengths_B: (B,) number of values per row.
        fill: value of padded places.

    Returns:
        (B, L) int64, with L the longest length, at least 1.
    """
    padded_BL = np.full((len(lengths_B), max(int(lengths_B.max(initial=0)), 1)), fill, np.int64)
    padded_BL[np.arange(padded_BL.shape[1]) < lengths_B[:, None]] = values_T
    return padded_BL
