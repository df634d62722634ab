"""EASE: every item as a linear combination of the others, in closed form."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_matrix

from crossrec.baselines.base import Baseline, TunableOptions, distinct_matrix
from crossrec.data.item_table import ItemTable
from crossrec.types import InputError, Sequences

TABLES = 2
"""(N, N) float32 tables that exist at once while fitting: the Gram matrix's factor and its inverse."""


class EASE(Baseline):
    """Linear item-to-item model: an item's score is the sum of weights from the history's distinct items.

    Of a user's clicks on an item, the one of the largest weight counts. Weights between items may be
    negative, so scores may be, too. An empty history scores 0 everywhere, and the ranking falls back to
    catalogue order; an item without training clicks always scores 0.

    Args:
        options: regularisation, memory bound.
        context: the catalogue.

    Raises:
        InputError: if the (N, N) tables would take more than ``options.memory_gb``.

    Source:
        Steck 2019, "Embarrassingly shallow autoencoders for sparse data", equation 8.
    """

    class Options(TunableOptions):
        """The linear item-to-item model without self-similarity, in closed form.

        Args:
            regularization: added to the diagonal of the items' Gram matrix, in clicks.
            memory_gb: maximum size of the (N, N) tables, 10^9 bytes; larger catalogues are rejected.
        """

        regularization: float = Field(default=200.0, gt=0, le=1_000_000_000)
        memory_gb: float = Field(default=6.0, gt=0)

        def grid(self) -> list[Self]:
            """Return the options that tuning tries."""
            return [
                self.model_copy(update={"regularization": regularization})
                for regularization in (20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)
            ]

    def __init__(self, options: Options, items: ItemTable) -> None:
        super().__init__(items.n_items, "EASE")
        self.options = options
        needed = TABLES * 4 * self.n_items**2 / 1e9
        if needed > options.memory_gb:
            raise InputError(
                f"EASE on {self.n_items} items needs {needed:.1f} GB for its item-by-item tables, more than "
                f"memory_gb = {options.memory_gb:g}; raise it, keep fewer items (data.cleaning.k_items), or "
                "use item_knn"
            )

    def _learn(self, train: Sequences, clicks_UN: csr_matrix) -> None:
        distinct_UN = distinct_matrix(train, self.n_items).astype(np.float32)
        gram_NN = torch.from_numpy((distinct_UN.T @ distinct_UN).toarray())
        gram_NN.diagonal().add_(self.options.regularization)
        torch.linalg.cholesky(gram_NN, out=gram_NN)
        weights_NN = torch.cholesky_inverse(gram_NN)
        # Column j of the solution is the inverse's over its own diagonal entry, negated, with 0 in row j.
        weights_NN.div_(-weights_NN.diagonal().clone())
        weights_NN.fill_diagonal_(0)
        self._weights_NN = weights_NN.numpy()

    def _score(self, histories: Sequences) -> torch.Tensor:
        history_BN = distinct_matrix(histories, self.n_items).astype(np.float32)
        return torch.from_numpy(history_BN @ self._weights_NN)
