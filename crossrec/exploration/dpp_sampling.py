"""Exploration by a determinantal point process: random lists of good items that are unlike each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossrec.exploration.base import Finish, Shown, as_they_are
from crossrec.exploration.draws import Draws, Stream
from crossrec.exploration.k_dpp import KDPP
from crossrec.rerank.base import Pool
from crossrec.types import ABSENT, InputError

if TYPE_CHECKING:
    from crossrec.exploration.config import DPPSamplingConfig
    from crossrec.rerank.spaces import Space

USERS_AT_ONCE = 128


class DPPSampling:
    """Draws k candidates with probability det(L_S), L = diag(q) S diag(q), and shows them in the pool's
    order.

    q_i = exp(quality * relevance_i) with relevance from 0 to 1, S the similarities among candidates. A share
    ``spread`` of the identity is mixed into S, so that a subset of alike items, of equal categories say, is
    unlikely rather than impossible, and k items can always be drawn. A row with no more than k candidates is
    shown as it is.

    The chance that an item is in the list, and that of the list, are exact; that of a place is not known.

    Source:
        Kulesza, Taskar: k-DPPs (ICML 2011); the quality and diversity decomposition: Determinantal point
        processes for machine learning (2012), section 3.1.

    Args:
        config: quality, spread, relevance.
        space: similarity of items.
    """

    def __init__(self, config: DPPSamplingConfig, space: Space) -> None:
        self._config, self._space = config, space

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, draws: Draws, finish: Finish | None = None
    ) -> Shown:
        """Drawn lists; see :class:`crossrec.exploration.base.Explorer`.

        Raises:
            InputError: next to the best candidates, fewer than k are worth anything.
        """
        pool = (finish or as_they_are)(pool, pool.ids_BC.shape[1])
        width = min(k, pool.ids_BC.shape[1])
        columns_BK = torch.arange(width, device=pool.ids_BC.device).expand(len(pool), -1).clone()
        columns_BK[~pool.present_BC[:, :width]] = ABSENT
        inclusion_BK, log_list_B = np.ones((len(pool), width)), np.zeros(len(pool))
        drawn_B = np.flatnonzero((pool.present_BC.sum(1) > k).cpu().numpy())
        for start in range(0, len(drawn_B), USERS_AT_ONCE):
            rows = drawn_B[start : start + USERS_AT_ONCE]
            columns, chance, log_list = self._draw(pool, rows, users_B[rows], k, draws)
            columns_BK[torch.from_numpy(rows).to(columns_BK.device)] = columns
            inclusion_BK[rows], log_list_B[rows] = chance.cpu().numpy(), log_list.cpu().numpy()
        return Shown(pool.pick(columns_BK), inclusion_BK, None, log_list_B)

    def _draw(
        self, pool: Pool, rows_B: np.ndarray, users_B: np.ndarray, k: int, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.from_numpy(rows_B).to(pool.ids_BC.device)
        part = Pool(pool.ids_BC[rows], pool.scores_BC[rows], pool.histories.take(rows_B))
        dpp = KDPP(self._kernel(part), k)
        possible = int(dpp.n_possible.min())
        if possible < k:
            raise InputError(
                f"dpp_sampling: quality {self._config.quality:g} leaves {possible} items to draw a list of "
                f"{k} from; say a smaller quality"
            )
        index = np.arange(part.ids_BC.shape[1] + k)
        uniform = torch.from_numpy(draws.uniform(Stream.SUBSET, users_B, index)).to(part.ids_BC.device)
        columns_BK = dpp.sample(uniform)
        return columns_BK, dpp.inclusion().gather(1, columns_BK), dpp.log_probability(columns_BK)

    def _kernel(self, pool: Pool) -> Tensor:
        similarity = self._space.of(pool.ids_BC)
        n_candidates = pool.ids_BC.shape[1]
        everyone = [
            similarity.to(torch.full((len(pool),), column, device=pool.ids_BC.device))
            for column in range(n_candidates)
        ]
        similar_BCC = torch.stack(everyone, 1).double()
        similar_BCC = (similar_BCC + similar_BCC.transpose(1, 2)) * ((1 - self._config.spread) / 2)
        similar_BCC.diagonal(dim1=1, dim2=2).fill_(1.0)
        relevance_BC = pool.relevance(self._config.relevance).double()
        # Over the best candidate's, which scales the kernel and changes no chance.
        quality_BC = (self._config.quality * (relevance_BC - 1)).exp() * pool.present_BC
        return quality_BC[:, :, None] * similar_BCC * quality_BC[:, None, :]
