"""Exact sampling of k-element subsets from a determinantal point process, for many kernels at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

NOTHING = 1e-12
"""Eigenvalues below this share of the greatest count as none."""


@dataclass(frozen=True)
class KDPP:
    """Subsets S of k items with P(S) = det(L_S) / e_k, e_k the k-th elementary symmetric polynomial of L's
    eigenvalues.

    Args:
        kernel_BCC: (B, C, C) float64, positive semidefinite, of rank k at least: see :attr:`n_possible`.
            Where it is less, draws repeat items and chances are NaN.
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
        """(B,) greatest size of a subset that can be drawn: the kernel's rank."""
        return (self._spectrum[0] > 0).sum(1)

    def sample(self, uniform_BCK: Tensor) -> Tensor:
        """Draws a subset for each kernel.

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
        """(B, C) 1 for the k eigenvectors that span the subset's distribution, 0 for the others."""
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
        """(B, C) chance that each item is in the subset."""
        values_BC, vectors_BCC, _ = self._spectrum
        suffixes = polynomials(values_BC.flip(1), self.k).flip(1)
        before, after = self._prefixes[:, :-1], suffixes[:, 1:]
        # e_{k-1} of all eigenvalues but the n-th: some of them from those before it, the rest from those
        # after.
        without_BC = (before[:, :, : self.k] * after[:, :, : self.k].flip(2)).sum(2)
        chance_BC = values_BC * without_BC / self._prefixes[:, -1, self.k, None]
        return (vectors_BCC.square() @ chance_BC[:, :, None])[:, :, 0].clamp(0, 1)

    def log_probability(self, columns_BK: Tensor) -> Tensor:
        """(B,) log P of subsets of k distinct columns."""
        rows_BKC = self.kernel_BCC.gather(1, columns_BK[:, :, None].expand(-1, -1, self.kernel_BCC.shape[2]))
        part_BKK = rows_BKC.gather(2, columns_BK[:, None, :].expand(-1, columns_BK.shape[1], -1))
        greatest_B = self._spectrum[2]
        normaliser_B = self._prefixes[:, -1, self.k].log() + self.k * greatest_B.log()
        return torch.linalg.slogdet(part_BKK).logabsdet - normaliser_B


def polynomials(values_BC: Tensor, k: int) -> Tensor:
    """(B, C + 1, k + 1) elementary symmetric polynomials e_0 to e_k of the first n of C values."""
    table = values_BC.new_zeros(len(values_BC), values_BC.shape[1] + 1, k + 1)
    table[:, :, 0] = 1.0
    for number in range(values_BC.shape[1]):
        earlier = table[:, number]
        table[:, number + 1, 1:] = earlier[:, 1:] + values_BC[:, number, None] * earlier[:, :-1]
    return table
