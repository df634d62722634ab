"""Bayesian personalised ranking on the library ``implicit``."""

from __future__ import annotations

from itertools import product
from typing import Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline, TunableOptions, history_matrix
from crossrec.baselines.fold_in import UserRegression, summed_items
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences


class BPRMF(Baseline):
    """Matrix factorization that ranks each user's clicked items above the others.

    Training users' vectors are not looked up: a history's is estimated from its items by a map that
    ridge regression learns from the training users (:class:`UserRegression`). An empty history gets the
    mean user. Items without training clicks score -inf: they were only ever pushed down.

    Args:
        options: factors, rates, iterations, seed.
        context: the catalogue.

    Source:
        Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback". The paper has no
        vectors for users that training did not see.
    """

    class Options(TunableOptions):
        """Matrix factorisation that ranks clicked above unclicked items.

        Args:
            factors: width of user and item vectors; items have a bias beside them.
            learning_rate: learning rate of stochastic gradient descent.
            regularization: weight of the squared norms.
            iterations: passes over the clicks.
            ridge: weight of the squared map from histories to user vectors, relative to the data's.
            seed: seed of the initial vectors and of the draws.
        """

        factors: int = Field(default=64, ge=1, le=65_536)
        learning_rate: float = Field(default=0.05, gt=0, le=100)
        regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
        iterations: int = Field(default=100, ge=1, le=1_000_000)
        ridge: float = Field(default=0.01, gt=0, le=1_000_000_000)
        seed: int = Field(default=0, ge=0)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all with this seed and number of iterations."""
            return [
                self.model_copy(
                    update={
                        "factors": factors,
                        "learning_rate": learning_rate,
                        "regularization": regularization,
                    }
                )
                for factors, learning_rate, regularization in product(
                    (32, 64, 128), (0.02, 0.05, 0.1), (0.003, 0.01, 0.03)
                )
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, "BPR-MF")
        self.options = options

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0], dtype=np.float32)
        # Several threads would write to the same vectors in another order each time.
        model = BayesianPersonalizedRanking(
            factors=self.options.factors,
            learning_rate=self.options.learning_rate,
            regularization=self.options.regularization,
            iterations=self.options.iterations,
            num_threads=1,
            random_state=self.options.seed,
        )
        model.fit(known_UN, show_progress=False)
        # implicit keeps the items' biases in the last column, beside ones in the users' vectors.
        self._items_ND = np.asarray(model.item_factors[:, :-1])
        self._bias_N = torch.from_numpy(model.item_factors[:, -1].copy())
        self._bias_N[np.asarray(known_UN.sum(axis=0)).ravel() == 0] = -torch.inf
        self._users_UD = np.asarray(model.user_factors[:, :-1])
        sums_UD = summed_items(known_UN, self._items_ND)
        self._user_vector = UserRegression.fit(sums_UD, self._users_UD, self.options.ridge)

    def _score(self, histories: Sequences) -> torch.Tensor:
        clicks_BN = history_matrix(histories, self.n_items)
        users_BD = torch.from_numpy(self._user_vector(summed_items(clicks_BN, self._items_ND)))
        return torch.addmm(self._bias_N, users_BD, torch.from_numpy(self._items_ND).T)
