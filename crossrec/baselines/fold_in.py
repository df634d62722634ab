"""Fold-in: vectors of users outside training, estimated from their histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class UserRegression:
    """Ridge regression from the sum of a history's item vectors to a learned user vector.

    Factor and graph models learn a vector for each training user and none for a new history. The map is
    ridge regression of the training users' learned vectors on the sums of their items; its constant is
    the mean user, which an empty history gets.

    Args:
        weights_EF: (D, E) map.
        mean_D: (D,) mean of the sums.
        constant_E: (E,) mean of the learned vectors.
    """

    weights_DE: np.ndarray
    mean_D: np.ndarray
    constant_E: np.ndarray

    @classmethod
    def fit(cls, sums_UD: np.ndarray, users_UE: np.ndarray, ridge: float) -> Self:
        """Learn the map from the training users.

        Args:
            sums_UD: sums of each training user's items, from :func:`summed_items`.
            users_UE: vectors that the model learned for them.
            ridge: weight of the squared map, relative to the mean variance of a column of the sums.
        """
        mean_D, constant_E = sums_UD.mean(0, dtype=np.float64), users_UE.mean(0, dtype=np.float64)
        centred_UD = sums_UD.astype(np.float64) - mean_D
        gram_DD = centred_UD.T @ centred_UD
        strength = ridge * np.trace(gram_DD) / len(gram_DD) + 1e-12
        weights_DE = np.linalg.solve(
            gram_DD + strength * np.eye(len(gram_DD)), centred_UD.T @ (users_UE - constant_E)
        )
        return cls(weights_DE, mean_D, constant_E)

    def __call__(self, sums_BD: np.ndarray) -> np.ndarray:
        """Return (B, E) float32 user vectors of B histories; the mean user's where the sum is all zeros."""
        empty_B1 = ~sums_BD.any(axis=1, keepdims=True)
        vectors_BE = (sums_BD - self.mean_D) @ self.weights_DE + self.constant_E
        return np.where(empty_B1, self.constant_E, vectors_BE).astype(np.float32)


def summed_items(clicks_BN: csr_matrix, items_ND: np.ndarray) -> np.ndarray:
    """Return (B, D) float32 sum of each row's item vectors over the square root of its total weight.

    Args:
        clicks_BN: weights of the rows' items.
        items_ND: item vectors.
    """
    totals_B1 = np.asarray(clicks_BN.sum(axis=1), dtype=np.float32).reshape(-1, 1)
    sums_BD = clicks_BN.astype(np.float32) @ items_ND.astype(np.float32)
    return np.divide(sums_BD, np.sqrt(totals_B1), out=np.zeros_like(sums_BD), where=totals_B1 > 0)
