"""Top-k selection with ties broken by the lower item index, and the loop from scores to lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossrec.types import ABSENT, Recommender, Sequences, TopK

if TYPE_CHECKING:
    import torch


def top_k(scores_BN: torch.Tensor, k: int) -> TopK:
    """The k best columns of each row, best first, ties broken by the lower index.

    Args:
        scores_BN: (B, N) float; -inf marks items that may not be recommended.
        k: length of the lists; rows with fewer allowed items end in ``ABSENT``.
    """
    import torch

    width = min(k, scores_BN.shape[1])
    values, ids = torch.topk(scores_BN, width, dim=1)
    ambiguous = (scores_BN >= values[:, -1:]).sum(1) > width
    if bool(ambiguous.any()):
        order = torch.sort(scores_BN[ambiguous], dim=1, descending=True, stable=True)
        values[ambiguous], ids[ambiguous] = order.values[:, :width], order.indices[:, :width]
    # topk leaves equal scores in any order: sort by index, then stably by score.
    ids, by_index = torch.sort(ids, dim=1)
    values, by_score = torch.sort(values.gather(1, by_index), dim=1, descending=True, stable=True)
    ids = ids.gather(1, by_score).masked_fill(torch.isneginf(values), ABSENT)
    return _pad(ids.cpu().numpy(), values.float().cpu().numpy(), k)


def _pad(ids: np.ndarray, scores: np.ndarray, k: int) -> TopK:
    missing = k - ids.shape[1]
    if missing > 0:
        ids = np.pad(ids, ((0, 0), (0, missing)), constant_values=ABSENT)
        scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    return TopK(ids, scores)


def mask_seen(scores_BN: torch.Tensor, exclude: Sequences) -> None:
    """Sets the score of every excluded item to -inf, in place."""
    import torch

    rows = torch.from_numpy(np.repeat(np.arange(len(exclude)), exclude.lengths))
    columns = torch.from_numpy(np.asarray(exclude.items, dtype=np.int64))
    scores_BN[rows.to(scores_BN.device), columns.to(scores_BN.device)] = -torch.inf


def recommend_by_score(
    recommender: Recommender, histories: Sequences, k: int, exclude: Sequences | None, batch: int = 256
) -> TopK:
    """Scores the catalogue for ``batch`` histories at a time and keeps the best k of each.

    Memory is bounded by ``batch * N`` scores, whatever the number of histories.
    """
    lists = []
    for start in range(0, len(histories), batch):
        rows = np.arange(start, min(start + batch, len(histories)))
        scores_BN = recommender.score(histories.take(rows))
        if exclude is not None:
            mask_seen(scores_BN, exclude.take(rows))
        lists.append(top_k(scores_BN, k))
    if not lists:
        return TopK(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))
    return TopK(np.concatenate([t.ids for t in lists]), np.concatenate([t.scores for t in lists]))
