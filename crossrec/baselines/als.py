"""Alternating least squares on the library ``implicit``."""

from __future__ import annotations

from itertools import product
from typing import Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from crossrec.baselines.base import Baseline, TunableOptions, history_matrix
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences


class ALS(Baseline):
    """Matrix factorization by ALS; the vector of a history is solved from its items ("fold-in").

    The training users' own vectors are never used, so clicks made after training count. Repeated
    items add confidence. An empty history has the zero vector: every score is 0, and the ranking
    falls back to catalogue order. An item without training clicks always scores 0.

    Args:
        options: factors, regularisation, confidence, iterations, seed.
        context: the catalogue.

    Source:
        Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets".
    """

    class Options(TunableOptions):
        """Matrix factorisation of implicit feedback by alternating least squares.

        Args:
            factors: width of user and item vectors.
            regularization: weight of the squared norms.
            alpha: confidence that one click adds.
            iterations: sweeps over users and items.
            seed: seed of the initial vectors.
        """

        factors: int = Field(default=64, ge=1, le=65_536)
        regularization: float = Field(default=0.01, ge=0, le=1_000_000_000)
        alpha: float = Field(default=1.0, gt=0, le=1_000_000)
        iterations: int = Field(default=15, ge=1, le=1_000_000)
        seed: int = Field(default=0, ge=0)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries, all with this seed and number of iterations."""
            return [
                self.model_copy(update={"factors": factors, "regularization": regularization, "alpha": alpha})
                for factors, regularization, alpha in product(
                    (16, 32, 64), (0.01, 0.1, 1.0, 10.0), (1.0, 5.0, 20.0)
                )
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, "ALS")
        self.options = options

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        # The solver runs its own threads over rows, which BLAS threads would slow down.
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=self.options.factors,
                regularization=self.options.regularization,
                alpha=self.options.alpha,
                iterations=self.options.iterations,
                random_state=self.options.seed,
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
