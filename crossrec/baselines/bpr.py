"""Bayesian personalised ranking on the library ``implicit``."""

from __future__ import annotations

import numpy as np
import torch
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline, history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.factor_config import BPRConfig
from crossrec.baselines.fold_in import UserRegression, summed_items
from crossrec.types import Sequences


class BPR(Baseline):
    """Factorises the clicks so that each user's clicked items rank above the others.

    Training users' vectors are not looked up: a history's is estimated from its items by a map that
    ridge regression learns from the training users (:class:`UserRegression`). An empty history gets the
    mean user. Items without training clicks score -inf: they were only ever pushed down.

    Args:
        context: the catalogue.
        config: factors, rates, iterations, seed.

    Source:
        Rendle et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback". The paper has no
        vectors for users that training did not see.
    """

    def __init__(self, context: BaselineContext, config: BPRConfig) -> None:
        super().__init__(context.n_items, "BPR-MF")
        self.config = config

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        known_UN = csr_matrix(clicks_UN[np.diff(clicks_UN.indptr) > 0], dtype=np.float32)
        # Several threads would write to the same vectors in another order each time.
        model = BayesianPersonalizedRanking(
            factors=self.config.factors,
            learning_rate=self.config.learning_rate,
            regularization=self.config.regularization,
            iterations=self.config.iterations,
            num_threads=1,
            random_state=self.config.seed,
        )
        model.fit(known_UN, show_progress=False)
        # implicit keeps the items' biases in the last column, beside ones in the users' vectors.
        self._items_ND = np.asarray(model.item_factors[:, :-1])
        self._bias_N = torch.from_numpy(model.item_factors[:, -1].copy())
        self._bias_N[np.asarray(known_UN.sum(axis=0)).ravel() == 0] = -torch.inf
        self._users_UD = np.asarray(model.user_factors[:, :-1])
        sums_UD = summed_items(known_UN, self._items_ND)
        self._user_vector = UserRegression.fit(sums_UD, self._users_UD, self.config.ridge)

    def _score(self, histories: Sequences) -> torch.Tensor:
        clicks_BN = history_matrix(histories, self.n_items)
        users_BD = torch.from_numpy(self._user_vector(summed_items(clicks_BN, self._items_ND)))
        return torch.addmm(self._bias_N, users_BD, torch.from_numpy(self._items_ND).T)
