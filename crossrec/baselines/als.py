"""Alternating least squares on the library ``implicit``."""

from __future__ import annotations

import numpy as np
import torch
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from crossrec.baselines.base import Baseline, history_matrix
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.factor_config import ALSConfig
from crossrec.types import Sequences


class ALS(Baseline):
    """Factorises the click matrix; a history's vector is solved for from its items ("fold-in").

    The training users' own vectors are never used, so clicks made after training count. Repeated
    items add confidence. An empty history has the zero vector: every score is 0, and the ranking
    falls back to catalogue order. An item without training clicks always scores 0.

    Args:
        context: the catalogue.
        config: factors, regularisation, confidence, iterations, seed.

    Source:
        Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
    """

    def __init__(self, context: BaselineContext, config: ALSConfig) -> None:
        super().__init__(context.n_items, "ALS")
        self.config = config

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        # The solver runs threads of its own over rows, which BLAS threads would only hinder.
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularization,
                alpha=self.config.alpha,
                iterations=self.config.iterations,
                random_state=self.config.seed,
                num_threads=torch.get_num_threads(),
            )
            model.fit(clicks_UN.astype(np.float32), show_progress=False)
        self._model = model
        self._items_DN = torch.from_numpy(model.item_factors).T

    def _score(self, histories: Sequences) -> torch.Tensor:
        clicks_BN = history_matrix(histories, self.n_items).astype(np.float32)
        with threadpool_limits(limits=1, user_api="blas"):
            vectors_BD = self._model.recalculate_user(np.arange(len(histories)), clicks_BN)
        return torch.from_numpy(vectors_BD) @ self._items_DN
