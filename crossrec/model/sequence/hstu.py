"""HSTU: gated blocks of pointwise aggregated attention."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.sequence.base import History, SequenceModel, SequenceModelOptions
from crossrec.model.sequence.layers import (
    ClickDropout,
    TimeBias,
    head_width,
    learned_positions,
    log_buckets,
    required_times,
)
from crossrec.runtime.dropout import Dropout


class HSTU(SequenceModel):
    """Hierarchical sequential transduction units.

    Source: Zhai et al. 2024, Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers
    for Generative Recommendations, section 3. The authors' code dates a query by the click AFTER it,
    which is the one to be predicted; its time is not known when serving, so ours takes the query's own:
    the time bias of (i, j) depends on t_i - t_j. No norm follows the last block, as in their code.

    Args:
        options: sizes, rates, and whether times are read.
        width: D of item vectors and hidden states.
        cache_dir: not used.
    """

    class Options(SequenceModelOptions):
        """Gated blocks of attention without softmax, biased by positions and times."""

        layers: int = Field(2, ge=1, le=1_000)
        heads: int = Field(1, ge=1, le=1_024)
        time_bias: bool = Field(
            True, description="attention reads the time between clicks; false where unknown"
        )
        dropout: float = Field(
            0.2, ge=0, lt=1, description="dropout rate of the input and of each block's gated values"
        )
        click_dropout: float = Field(
            0.0, ge=0, lt=1, description="share of clicks that training hides entirely"
        )

    def __init__(self, options: Options, width: int, cache_dir: Path) -> None:
        super().__init__()
        self.max_length = options.max_length
        self.reads_times = options.time_bias
        self.positions = learned_positions(options.max_length, width)
        self.click_dropout = ClickDropout(options.click_dropout)
        self.dropout = Dropout(options.dropout)
        self.blocks = nn.ModuleList([HSTUBlock(options, width) for _ in range(options.layers)])

    def forward(self, history: History) -> Tensor:
        """Return hidden states (B, L, D)."""
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
    n is the maximum length for all batches, as in the authors' code, so that padding changes nothing. The
    norms have no weights; rab is shared by the heads of a block.

    Source: Zhai et al. 2024, equations 1 to 3.

    Args:
        options: sizes, rates, and whether times are read.
        width: D.
    """

    def __init__(self, options: HSTU.Options, width: int) -> None:
        super().__init__()
        self.heads = options.heads
        self.head_width = head_width(width, options.heads)
        self.longest = options.max_length
        self.norm = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.uvqk = nn.Linear(width, 4 * width)
        self.out = nn.Linear(width, width)
        self.position_bias = nn.Parameter(torch.randn(options.max_length) * 0.02)
        self.time_bias = TimeBias() if options.time_bias else None
        self.dropout = Dropout(options.dropout)
        for linear in (self.uvqk, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden_BLD: Tensor, buckets_BLL: Tensor | None) -> Tensor:
        """Map (B, L, D) to (B, L, D).

        Args:
            hidden_BLD: output of the block below.
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
        """Return (1 or B, 1, L, L) relative attention bias; arbitrary above the diagonal."""
        steps = torch.arange(length, device=self.position_bias.device)
        bias = self.position_bias[(steps[:, None] - steps).clamp(min=0)].unsqueeze(0)
        if self.time_bias is not None:
            bias = bias + self.time_bias(buckets_BLL)
        return bias.unsqueeze(1)
