"""Weights of items by which all categories count alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def category_weights(
    categories: csr_matrix, counts: np.ndarray | None = None, power: float = 1.0
) -> np.ndarray | None:
    """(N,) sum, over an item's categories, of one over the category's size to a power.

    Args:
        categories: (N, G), above 0 where the item is in the category. Items without one stand together as
            one more category.
        counts: (N,) what each item adds to the size of its categories; 1 when None.
        power: of a category's size; 1 gives every category the same in all.

    Returns:
        None where no item has a category.
    """
    from scipy.sparse import csr_matrix as sparse
    from scipy.sparse import hstack

    member = sparse(categories > 0, dtype=np.float64)
    of_item_N = np.asarray(member.sum(1)).ravel()
    if not of_item_N.any():
        return None
    without_N1 = sparse((of_item_N == 0).astype(np.float64)[:, None])
    member = sparse(hstack([member, without_N1]))
    size_G = member.T @ (np.ones(member.shape[0]) if counts is None else np.asarray(counts, np.float64))
    inverse_G = np.divide(1.0, size_G**power, out=np.zeros_like(size_G), where=size_G > 0)
    return np.asarray(member @ inverse_G)


def categories_of(categories: csr_matrix) -> np.ndarray:
    """(N,) categories of each item; 1 where it has none, as those items stand together as one."""
    return np.maximum(np.asarray((categories > 0).sum(1)).ravel(), 1)
