"""Exploration by a k-DPP: random lists of relevant, dissimilar items, and the exact sampler."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.config import ComponentOptions
from crossrec.data.item_table import ItemTable
from crossrec.exploration.base import Explorer, Finish, PolicyLists, as_they_are
from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.rerank.base import Pool, Relevance
from crossrec.rerank.spaces import space_named
from crossrec.types import ABSENT, InputError

USERS_AT_ONCE = 128


class DPPSampling(Explorer):
    """k-DPP sampling: k candidates with probability det(L_S), L = diag(q) S diag(q), in the pool's order.

    q_i = exp(quality * relevance_i) with relevance from 0 to 1, S the similarities among candidates. A share
    ``spread`` of the identity is mixed into S, so that a subset of similar items, such as items of equal
    categories, is unlikely but possible, and k items can always be drawn. A row with no more than k
    candidates is shown unchanged.

    The probabilities that an item is in the list, and of the list, are exact; that of a place is unknown.

    Source:
        Kulesza, Taskar: k-DPPs (ICML 2011); the quality and diversity decomposition: Determinantal point
        processes for machine learning (2012), section 3.1.

    Args:
        options: quality, spread, space and relevance.
        items: features of the catalogue's items, for similarities.

    Raises:
        InputError: if the items have no such space.
    """

    class Options(ComponentOptions):
        """k-DPP exploration: random lists of relevant, dissimilar items.

        Args:
            quality: weight of relevance: the best candidate's weight is exp(quality) times that of the worst;
                beyond 12, too few items for a list would have any weight in double precision.
            spread: share of the identity in the similarities, for lists of similar items.
            space: similarity measure: ``category``, or the cosine of item vectors, ``text``, ``image``,
                ``behaviour`` (co-clicks), ``model``.
            relevance: scale of relevance.
        """

        quality: float = Field(default=4.0, ge=0, le=12)
        spread: float = Field(default=0.1, gt=0, lt=1)
        space: str = "category"
        relevance: Relevance = "minmax"

    def __init__(self, options: Options, items: ItemTable) -> None:
        self._options, self._space = options, space_named(options.space, items)

    def choose(
        self, pool: Pool, users_B: np.ndarray, k: int, rng: CounterRng, finish: Finish | None = None
    ) -> PolicyLists:
        """Return random lists; see :class:`crossrec.exploration.base.Explorer`.

        Raises:
            InputError: if fewer than k candidates have any weight next to the best ones.
        """
        pool = (finish or as_they_are)(pool, pool.ids_BC.shape[1])
        width = min(k, pool.ids_BC.shape[1])
        columns_BK = torch.arange(width, device=pool.ids_BC.device).expand(len(pool), -1).clone()
        columns_BK[~pool.present_BC[:, :width]] = ABSENT
        inclusion_BK, log_list_B = np.ones((len(pool), width)), np.zeros(len(pool))
        drawn_B = np.flatnonzero((pool.present_BC.sum(1) > k).cpu().numpy())
        for start in range(0, len(drawn_B), USERS_AT_ONCE):
            rows = drawn_B[start : start + USERS_AT_ONCE]
            columns, chance, log_list = self._draw(pool, rows, users_B[rows], k, rng)
            columns_BK[torch.from_numpy(rows).to(columns_BK.device)] = columns
            inclusion_BK[rows], log_list_B[rows] = chance.cpu().numpy(), log_list.cpu().numpy()
        return PolicyLists(pool.pick(columns_BK), inclusion_BK, None, log_list_B)

    def _draw(
        self, pool: Pool, rows_B: np.ndarray, users_B: np.ndarray, k: int, rng: CounterRng
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.from_numpy(rows_B).to(pool.ids_BC.device)
        part = Pool(pool.ids_BC[rows], pool.scores_BC[rows], pool.histories.take(rows_B))
        dpp = KDPP(self._kernel(part), k)
        possible = int(dpp.n_possible.min())
        if possible < k:
            raise InputError(
                f"dpp_sampling: quality {self._options.quality:g} leaves {possible} items to draw a list of "
                f"{k} from; set a smaller quality"
            )
        index = np.arange(part.ids_BC.shape[1] + k)
        uniform = torch.from_numpy(rng.uniform(Stream.SUBSET, users_B, index)).to(part.ids_BC.device)
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
        similar_BCC = (similar_BCC + similar_BCC.transpose(1, 2)) * ((1 - self._options.spread) / 2)
        similar_BCC.diagonal(dim1=1, dim2=2).fill_(1.0)
        relevance_BC = pool.relevance(self._options.relevance).double()
        # Relative to the best candidate's, which scales the kernel and changes no probability.
        quality_BC = (self._options.quality * (relevance_BC - 1)).exp() * pool.present_BC
        return quality_BC[:, :, None] * similar_BCC * quality_BC[:, None, :]


NOTHING = 1e-12
"""Eigenvalues below this share of the greatest count as zero."""


@dataclass(frozen=True)
class KDPP:
    """k-DPPs: subsets S of k items with P(S) = det(L_S) / e_k.

    e_k is the k-th elementary symmetric polynomial of L's eigenvalues.

    Args:
        kernel_BCC: (B, C, C) float64, positive semidefinite, of rank k at least: see :attr:`n_possible`.
            If it is less, samples repeat items and probabilities are NaN.
        k: size of the subsets.

    Source:
        Kulesza, Taskar: k-DPPs: fixed-size determinantal point processes (ICML 2011), algorithms 1 and 2 of
        the authors' survey (Determinantal point processes for machine learning, 2012, algorithms 1, 7 and 8).
    """

    kernel_BCC: Tensor
    k: int

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C) eigenvalues over the greatest, (B, C, C) eigenvectors in columns, (B,) the greatest."""
        values_BC, vectors_BCC = torch.linalg.eigh(self.kernel_BCC)
        greatest_B = values_BC[:, -1].clamp(min=torch.finfo(values_BC.dtype).tiny)
        values_BC = values_BC / greatest_B[:, None]
        return values_BC.where(values_BC > NOTHING, 0.0), vectors_BCC, greatest_B

    @cached_property
    def _prefixes(self) -> Tensor:
        """(B, C + 1, k + 1) elementary symmetric polynomials of the first n eigenvalues."""
        return polynomials(self._spectrum[0], self.k)

    @property
    def n_possible(self) -> Tensor:
        """(B,) largest possible size of a subset: the kernel's rank."""
        return (self._spectrum[0] > 0).sum(1)

    def sample(self, uniform_BCK: Tensor) -> Tensor:
        """Draw a subset for each kernel.

        Args:
            uniform_BCK: (B, C + k) uniform numbers: the first C choose eigenvectors, the rest items.

        Returns:
            (B, k) int64 columns in ascending order.
        """
        n_items = self.kernel_BCC.shape[1]
        kept_BC = self._choose_vectors(uniform_BCK[:, :n_items])
        rows_BCC = self._spectrum[1] * kept_BC[:, None, :]
        chosen: list[Tensor] = []
        for step in range(self.k):
            mass_BC = rows_BCC.square().sum(2)
            if chosen:
                mass_BC.scatter_(1, torch.stack(chosen, 1), 0.0)
            sums_BC = mass_BC.cumsum(1)
            target_B1 = uniform_BCK[:, n_items + step, None] * sums_BC[:, -1:]
            column_B = (sums_BC <= target_B1).sum(1).clamp(max=n_items - 1)
            chosen.append(column_B)
            picked_B1C = rows_BCC.gather(1, column_B[:, None, None].expand(-1, 1, n_items))
            unit_B1C = picked_B1C / picked_B1C.norm(dim=2, keepdim=True).clamp(min=NOTHING)
            rows_BCC = rows_BCC - (rows_BCC * unit_B1C).sum(2, keepdim=True) * unit_B1C
        return torch.stack(chosen, 1).sort(1).values

    def _choose_vectors(self, uniform_BC: Tensor) -> Tensor:
        """Return (B, C) 1 for the k eigenvectors that span the subset's distribution, 0 for the others."""
        values_BC, prefixes = self._spectrum[0], self._prefixes
        left_B = torch.full((len(values_BC),), self.k, device=values_BC.device)
        kept_BC = torch.zeros_like(values_BC)
        for number in range(values_BC.shape[1] - 1, -1, -1):
            fewer_B = prefixes[:, number].gather(1, (left_B - 1).clamp(min=0)[:, None])[:, 0]
            all_B = prefixes[:, number + 1].gather(1, left_B[:, None])[:, 0]
            take_B = (uniform_BC[:, number] * all_B < values_BC[:, number] * fewer_B) & (left_B > 0)
            kept_BC[:, number] = take_B.to(kept_BC)
            left_B = left_B - take_B.long()
        return kept_BC

    def inclusion(self) -> Tensor:
        """Return (B, C), the probability that each item is in the subset."""
        values_BC, vectors_BCC, _ = self._spectrum
        suffixes = polynomials(values_BC.flip(1), self.k).flip(1)
        before, after = self._prefixes[:, :-1], suffixes[:, 1:]
        # e_{k-1} of all eigenvalues but the n-th: some of them from those before it, the rest from those
        # after.
        without_BC = (before[:, :, : self.k] * after[:, :, : self.k].flip(2)).sum(2)
        chance_BC = values_BC * without_BC / self._prefixes[:, -1, self.k, None]
        return (vectors_BCC.square() @ chance_BC[:, :, None])[:, :, 0].clamp(0, 1)

    def log_probability(self, columns_BK: Tensor) -> Tensor:
        """Return the (B,) log P of subsets of k distinct columns."""
        rows_BKC = self.kernel_BCC.gather(1, columns_BK[:, :, None].expand(-1, -1, self.kernel_BCC.shape[2]))
        part_BKK = rows_BKC.gather(2, columns_BK[:, None, :].expand(-1, columns_BK.shape[1], -1))
        greatest_B = self._spectrum[2]
        normaliser_B = self._prefixes[:, -1, self.k].log() + self.k * greatest_B.log()
        return torch.linalg.slogdet(part_BKK).logabsdet - normaliser_B


def polynomials(values_BC: Tensor, k: int) -> Tensor:
    """Return (B, C + 1, k + 1) elementary symmetric polynomials e_0 to e_k of the first n of C values."""
    table = values_BC.new_zeros(len(values_BC), values_BC.shape[1] + 1, k + 1)
    table[:, :, 0] = 1.0
    for number in range(values_BC.shape[1]):
        earlier = table[:, number]
        table[:, number + 1, 1:] = earlier[:, 1:] + values_BC[:, number, None] * earlier[:, :-1]
    return table
