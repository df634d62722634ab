"""What a choice model knows: popularity, a user's categories, and factors of the click matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from crossrec.simulation.choice_config import ChoiceModelConfig
from crossrec.types import Sequences

FEATURES = ("popularity", "category", "factors")
"""What the coefficients belong to."""


@dataclass(frozen=True)
class ChoiceFeatures:
    """Features of users and items from some clicks; a pair's three features are dot products of them.

    Args:
        popularity_N: (N,) logarithm of clicks plus one, centred.
        interest_UG: (U, G) logarithm of a user's share of each category over that of all users.
        categories_NG: (N, G) an item's categories, in shares.
        users_UF: (U, F) factors of the users: mean of the factors of what they clicked.
        items_NF: (N, F) factors of the items, scaled so that a pair's dot product has unit variance.
    """

    popularity_N: np.ndarray
    interest_UG: np.ndarray
    categories_NG: np.ndarray
    users_UF: np.ndarray
    items_NF: np.ndarray

    @classmethod
    def of(cls, clicks: Sequences, categories_NG: np.ndarray, config: ChoiceModelConfig) -> ChoiceFeatures:
        """The features of U users and N items.

        The factors are those of a truncated singular value decomposition of the click matrix, each click
        divided by the root of its user's and its item's number of clicks.
        """
        n_users, n_items = len(clicks), len(categories_NG)
        users_T = np.repeat(np.arange(n_users), clicks.lengths)
        shape = (n_users, n_items)
        clicks_UN = csr_matrix((np.ones(len(users_T)), (users_T, np.asarray(clicks.items))), shape=shape)
        clicks_UN.data[:] = 1.0
        counts_N, counts_U = (np.asarray(clicks_UN.sum(axis)).ravel() for axis in (0, 1))
        scaled_UN = csr_matrix(clicks_UN)
        scaled_UN.data = 1 / np.sqrt(counts_U[users_T_of(scaled_UN)] * counts_N[scaled_UN.indices])
        factors = min(config.factors, min(shape) - 1)
        start = np.full(min(shape), 1 / np.sqrt(min(shape)))
        _, values_F, items_FN = svds(scaled_UN, k=factors, v0=start)
        items_NF = items_FN.T * values_F
        users_UF = (clicks_UN @ items_NF) / np.maximum(counts_U, 1)[:, None]
        sample = users_UF[:: max(1, n_users // 512)] @ items_NF.T
        log_popular = np.log1p(counts_N)
        return cls(
            popularity_N=log_popular - log_popular.mean(),
            interest_UG=_interest(clicks_UN @ categories_NG, config.smoothing),
            categories_NG=categories_NG,
            users_UF=users_UF,
            items_NF=items_NF / max(float(sample.std()), 1e-12),
        )

    def pairs(self, users_T: np.ndarray, items_TC: np.ndarray) -> np.ndarray:
        """(T, C, 3) features of users with the items beside them, in the order of ``FEATURES``."""
        interest = np.einsum("tg,tcg->tc", self.interest_UG[users_T], self.categories_NG[items_TC])
        factors = np.einsum("tf,tcf->tc", self.users_UF[users_T], self.items_NF[items_TC])
        return np.stack([self.popularity_N[items_TC], interest, factors], axis=2)


def users_T_of(matrix: csr_matrix) -> np.ndarray:
    """(T,) row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _interest(counts_UG: np.ndarray, smoothing: float) -> np.ndarray:
    """(U, G) log of a user's share of each category over everybody's, smoothed towards 0."""
    overall_G = (counts_UG.sum(0) + 1) / (counts_UG.sum() + counts_UG.shape[1])
    share_UG = counts_UG + smoothing * overall_G
    return np.log(share_UG / share_UG.sum(1, keepdims=True) / overall_G)
