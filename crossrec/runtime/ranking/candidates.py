"""The scores of given candidates, out of those of the whole catalogue."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.types import ABSENT


def pick_candidates(scores_BN: Tensor, candidates_BK: np.ndarray) -> Tensor:
    """(B, K) scores of candidates, -inf where one is ``ABSENT``.

    Raises:
        ValueError: other rows than the scores, or an index outside the catalogue.
    """
    check_candidates(candidates_BK, *scores_BN.shape)
    ids_BK = torch.from_numpy(np.asarray(candidates_BK, dtype=np.int64))
    absent_BK = ids_BK == ABSENT
    return scores_BN.gather(1, ids_BK.masked_fill(absent_BK, 0)).masked_fill(absent_BK, -torch.inf)


def check_candidates(candidates_BK: np.ndarray, n_rows: int, n_items: int) -> None:
    """Refuses candidates that don't fit.

    Raises:
        ValueError: other rows than the histories, or an index outside the catalogue.
    """
    if candidates_BK.ndim != 2 or len(candidates_BK) != n_rows:
        raise ValueError(f"candidates have shape {candidates_BK.shape}; expected ({n_rows}, K)")
    wrong = (candidates_BK < ABSENT) | (candidates_BK >= n_items)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"candidates[{row}, {column}] is {candidates_BK[row, column]}, "
            f"outside the catalogue of {n_items} items"
        )
