"""PCA of frozen features, for generators: few dimensions are learned from few items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Reduction:
    """The directions in which vectors vary most.

    Args:
        mean: (W,) of the vectors it was fitted on.
        axes: (W, C) orthonormal directions.
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, components: int) -> Self:
        """Fits on n vectors; at most n - 1 and W components, and at least one."""
        known = np.asarray(vectors, dtype=np.float64)
        mean = known.mean(0)
        kept = max(1, min(components, len(known) - 1, known.shape[1]))
        _, axes = np.linalg.eigh((known - mean).T @ (known - mean))
        axes = axes[:, ::-1][:, :kept]
        # The sign of an axis hangs on the library; the largest entry is made positive.
        signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(kept)])
        return cls(mean.astype(np.float32), (axes * np.where(signs == 0, 1, signs)).astype(np.float32))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(n, C) coordinates of (n, W) vectors."""
        return (rows - self.mean) @ self.axes

    def direction(self, differences: np.ndarray) -> np.ndarray:
        """(..., W) differences between vectors, from differences between coordinates (..., C)."""
        return differences @ self.axes.T
