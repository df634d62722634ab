"""The click graph: users and items joined by clicks, and vectors sent along its edges."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor


class ClickGraph:
    """Normalised clicks between U users and N items.

    An edge between user u and item i weighs 1 / sqrt(degree of u times degree of i); repeated clicks
    count once.

    Args:
        clicks_UN: training clicks.
        device: where propagation happens.
    """

    def __init__(self, clicks_UN: csr_matrix, device: torch.device) -> None:
        self.item_scale_N = _inverse_root(np.bincount(clicks_UN.indices, minlength=clicks_UN.shape[1]))
        weights_UN = normalised(clicks_UN, self.item_scale_N)
        self._to_users = _as_torch(weights_UN, device)
        self._to_items = _as_torch(weights_UN.T.tocsr(), device)

    def to_users(self, items_ND: Tensor) -> Tensor:
        """(U, D) weighted sums of each user's items."""
        return _Propagate.apply(items_ND, self._to_users, self._to_items)

    def to_items(self, users_UD: Tensor) -> Tensor:
        """(N, D) weighted sums of each item's users."""
        return _Propagate.apply(users_UD, self._to_items, self._to_users)

    def of_histories(self, histories_BN: csr_matrix) -> csr_matrix:
        """(B, N) float32 edges of new users: their own degrees, the items' degrees of training."""
        return normalised(histories_BN, self.item_scale_N)


def normalised(clicks_BN: csr_matrix, item_scale_N: np.ndarray) -> csr_matrix:
    """Distinct items of each row, each over the roots of the row's and the item's degrees."""
    binary_BN = csr_matrix(
        (np.ones(len(clicks_BN.data)), clicks_BN.indices, clicks_BN.indptr), shape=clicks_BN.shape
    )
    row_scale = diags(_inverse_root(np.diff(clicks_BN.indptr)))
    return csr_matrix(row_scale @ binary_BN @ diags(item_scale_N), dtype=np.float32)


def _inverse_root(degrees: np.ndarray) -> np.ndarray:
    """1 / sqrt(degree), 0 where there is no edge."""
    root = np.sqrt(degrees.astype(np.float64))
    return np.divide(1, root, out=np.zeros_like(root), where=root > 0)


class _Propagate(torch.autograd.Function):
    """A sparse product whose gradient is the product with the transpose, kept beside it."""

    @staticmethod
    def forward(context: Any, vectors: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        context.transposed = transposed
        return torch.sparse.mm(matrix, vectors)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return torch.sparse.mm(context.transposed, gradient.contiguous()), None, None


def _as_torch(matrix: csr_matrix, device: torch.device) -> Tensor:
    matrix.sort_indices()
    with warnings.catch_warnings():
        # PyTorch calls its CSR layout a beta; on a CPU it takes half of COO's time.
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support")
        warnings.filterwarnings("ignore", message=".*Sparse invariant checks")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=True,
        ).to(device)
