"""Decoder of codes: how likely each code is after a history and the codes before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.sequence.layers import make_norm
from crossrec.model.sequence.sasrec import PreNormBlock, SASRec


class CodeDecoder(nn.Module):
    """Causal Transformer over the state of a history and the codes generated so far.

    Its input and its output use the same code embeddings, and so do the item vectors of histories.

    Args:
        options: options of the blocks, as those of the history's.
        width: D.
        sizes: number of codes of each of the C levels.
        layers: number of blocks.
    """

    def __init__(self, options: SASRec.Options, width: int, sizes: Sequence[int], layers: int) -> None:
        super().__init__()
        self.width = width
        tables = [nn.Embedding(size, width) for size in sizes]
        for table in tables:
            nn.init.normal_(table.weight, std=width**-0.5)
        self.embeddings = nn.ModuleList(tables)
        self.positions = nn.Parameter(torch.randn(len(sizes), width) * 0.02)
        self.blocks = nn.ModuleList([PreNormBlock(options, width, None) for _ in range(layers)])
        self.norm = make_norm(options.norm, width)

    def embedded(self, codes_TC: Tensor) -> Tensor:
        """Return (T, C', D) embeddings of the first C' codes, with entries of about unit size."""
        parts = [self._table(level)(codes_TC[:, level]) for level in range(codes_TC.shape[1])]
        return torch.stack(parts, dim=1) * self.width**0.5

    def item_parts(self, codes_KC: Tensor) -> Tensor:
        """Return (K, D) sums of an item's code embeddings, with entries of about unit size."""
        return self.embedded(codes_KC).sum(1) * codes_KC.shape[1] ** -0.5

    def states(self, hidden_TD: Tensor, codes_TC: Tensor) -> Tensor:
        """Return (T, C' + 1, D) states after the history and after each of the first C' codes.

        Args:
            hidden_TD: states of histories.
            codes_TC: (T, C') codes.
        """
        states = hidden_TD[:, None]
        if codes_TC.shape[1]:
            states = torch.cat([states, self.embedded(codes_TC).to(hidden_TD.dtype)], dim=1)
        states = states + self.positions[: states.shape[1]].to(states.dtype)
        for block in self.blocks:
            states = block(states)
        found: Tensor = self.norm(states)
        return found

    def logits(self, level: int, states_TD: Tensor) -> Tensor:
        """Return (T, K) logits of a level's codes, float32 at least."""
        logits_TK = F.linear(states_TD, self._table(level).weight.to(states_TD.dtype))
        return logits_TK.to(torch.promote_types(logits_TK.dtype, torch.float32))

    def _table(self, level: int) -> nn.Embedding:
        table = self.embeddings[level]
        assert isinstance(table, nn.Embedding)
        return table
