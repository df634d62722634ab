"""HSTU: gated blocks of pointwise aggregated attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.runtime.dropout import Dropout
from crossrec.sequence.base import History, SequenceModel
from crossrec.sequence.parts.attention import head_width
from crossrec.sequence.parts.click_dropout import ClickDropout
from crossrec.sequence.parts.positions import learned_positions
from crossrec.sequence.parts.times import TimeBias, log_buckets, required_times

if TYPE_CHECKING:
    from crossrec.sequence.config import HSTUConfig


class HSTU(SequenceModel):
    """Hierarchical sequential transduction units.

    Source: Zhai et al. 2024, Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers
    for Generative Recommendations, section 3. The authors' code dates a query by the click AFTER it,
    which is the one to be predicted; its time is not known when serving, so ours takes the query's own:
    the time bias of (i, j) depends on t_i - t_j. No norm follows the last block, as in their code.

    Args:
        config: sizes, rates, and whether times are read.
        width: D of item vectors and hidden states.
    """

    def __init__(self, config: HSTUConfig, width: int) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.reads_times = config.time_bias
        self.positions = learned_positions(config.max_length, width)
        self.click_dropout = ClickDropout(config.click_dropout)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList([HSTUBlock(config, width) for _ in range(config.layers)])

    def forward(self, history: History) -> Tensor:
        """Hidden states (B, L, D)."""
        hidden = self.click_dropout(history.vectors_BLD)
        hidden = self.dropout(hidden + self.positions[: hidden.shape[1]].to(hidden.dtype))
        buckets_BLL = None
        if self.reads_times:
            times_BL = required_times(history, "time_bias")
            buckets_BLL = log_buckets(times_BL.unsqueeze(2) - times_BL.unsqueeze(1))
        for block in self.blocks:
            hidden = block(hidden, buckets_BLL)
        return hidden


class HSTUBlock(nn.Module):
    """One unit: projection, attention without softmax, gated output.

    U, V, Q, K = split(SiLU(f1(norm(x)))); A = SiLU(Q K^T + rab) / n, causal; y = x + f2(norm(A V) * U).
    n is the longest window whatever the batch holds, as in the authors' code, so that padding changes
    nothing. The norms have no weights; rab is shared by the heads of a block.

    Source: Zhai et al. 2024, equations 1 to 3.

    Args:
        config: sizes, rates, and whether times are read.
        width: D.
    """

    def __init__(self, config: HSTUConfig, width: int) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_width = head_width(width, config.heads)
        self.longest = config.max_length
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.uvqk = nn.Linear(width, 4 * width)
        self.out = nn.Linear(width, width)
        self.position_bias = nn.Parameter(torch.randn(config.max_length) * 0.02)
        self.time_bias = TimeBias() if config.time_bias else None
        self.dropout = Dropout(config.dropout)
        for linear in (self.uvqk, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden_BLD: Tensor, buckets_BLL: Tensor | None) -> Tensor:
        """(B, L, D) to (B, L, D).

        Args:
            hidden_BLD: from the block below.
            buckets_BLL: buckets of the time from click j to click i; None where times are not read.
        """
        batch, length, _ = hidden_BLD.shape
        split = F.silu(self.uvqk(self.norm(hidden_BLD))).view(batch, length, 4, self.heads, self.head_width)
        gate_BLD = split[:, :, 0].flatten(2)
        value, query, key = split[:, :, 1:].permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(2, 3) + self._bias(buckets_BLL, length).to(query.dtype)
        weights = F.silu(scores) * scores.new_full((length, length), 1 / self.longest).tril()
        mixed_BLD = (weights @ value).transpose(1, 2).reshape(hidden_BLD.shape)
        return hidden_BLD + self.out(self.dropout(self.norm(mixed_BLD) * gate_BLD))

    def _bias(self, buckets_BLL: Tensor | None, length: int) -> Tensor:
        """(1 or B, 1, L, L) relative attention bias; anything above the diagonal."""
        steps = torch.arange(length, device=self.position_bias.device)
        bias = self.position_bias[(steps[:, None] - steps).clamp(min=0)].unsqueeze(0)
        if self.time_bias is not None:
            bias = bias + self.time_bias(buckets_BLL)
        return bias.unsqueeze(1)
