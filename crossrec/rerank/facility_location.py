"""Facility location: a list that stands for all candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from crossrec.rerank.greedy import GreedyReranker, SimilarityTradeOff
from crossrec.rerank.spaces import PoolSimilarity


class FacilityLocation(GreedyReranker):
    """Facility location: greedily takes the candidate i with the highest

    ``(1 - diversity) * relevance_i + diversity * k / C * sum_c max(0, similarity_ic - covered_c)``

    the growth of k times a list's value, ``(1 - diversity) * mean relevance + diversity * coverage``. The
    coverage of the C candidates is their mean covered_c, c's greatest similarity to a chosen item, at least
    0. Each candidate, known or not, is covered by itself. The most relevant candidate comes first. The
    list for a shorter k need not be the beginning of the list for a longer one. Ties go to the better ranked.

    Coverage is monotone and submodular, so the greedy list reaches 1 - 1/e of the best value that a list with
    the same first item has over that item alone.

    Source:
        Lin, Bilmes: A class of submodular functions for document summarization (ACL 2011); the bound:
        Nemhauser, Wolsey, Fisher: An analysis of approximations for maximizing submodular set functions
        (Mathematical Programming 1978).

    Args:
        options: diversity, relevance, order and space.
        items: features of the catalogue's items.
    """

    class Options(SimilarityTradeOff):
        """Facility location (submodular coverage): every candidate has a similar item in the list."""

    def gain(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> _Coverage:
        """Return the scaled growth of the candidates' coverage."""
        return _Coverage(similarity, like_BC, k)


class _Coverage:
    """Scaled growth of the mean similarity of candidates to their most similar chosen item."""

    def __init__(self, similarity: PoolSimilarity, like_BC: Tensor, k: int) -> None:
        present_BC = like_BC > -torch.inf
        n_users, n_candidates = like_BC.shape
        columns = [torch.full((n_users,), c, device=like_BC.device) for c in range(n_candidates)]
        similarity_BCC = torch.stack([similarity.to(column_B) for column_B in columns], 1).clamp_(min=0)
        similarity_BCC.diagonal(dim1=1, dim2=2).fill_(1)
        # Absent candidates need no cover.
        self._similarity_BCC = similarity_BCC.mul_(present_BC[:, None])
        self._scale_B1 = k / present_BC.sum(1, keepdim=True).clamp(min=1)
        self._covered_BC: Tensor | None = None
        self._rows_B = torch.arange(n_users, device=like_BC.device)
        self._none_BC = torch.zeros_like(like_BC)

    def now(self) -> Tensor:
        if self._covered_BC is None:
            return self._none_BC
        return (self._similarity_BCC - self._covered_BC[:, None]).clamp_(min=0).sum(2).mul_(self._scale_B1)

    def choose(self, columns_B: Tensor) -> None:
        covers_BC = self._similarity_BCC[self._rows_B, columns_B]
        before_BC = self._none_BC if self._covered_BC is None else self._covered_BC
        self._covered_BC = torch.maximum(before_BC, covers_BC)
