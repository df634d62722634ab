"""Point-wise feed-forward parts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.runtime.dropout import Dropout
from crossrec.sequence.options import Activation


class MLP(nn.Sequential):
    """Linear, activation, dropout, linear.

    Args:
        width: D of input and output.
        inner: width between the two maps.
        activation: between them.
        dropout: rate after the activation.
    """

    def __init__(self, width: int, inner: int, activation: nn.Module, dropout: float) -> None:
        super().__init__(nn.Linear(width, inner), activation, Dropout(dropout), nn.Linear(inner, width))


class SwiGLU(nn.Module):
    """Feed-forward part whose inner entries are gated: W3 (SiLU(W1 x) * W2 x), without biases.

    Source: Shazeer 2020, GLU Variants Improve Transformer, equation 6.

    Args:
        width: D of input and output.
        inner: gated entries.
        dropout: rate after the gate.
    """

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., D) to (..., D)."""
        gate, value = self.into(hidden).chunk(2, dim=-1)
        return self.out(self.dropout(F.silu(gate) * value))


def feed_forward(activation: Activation, width: int, inner: int, dropout: float) -> nn.Module:
    """The part with this activation, from (..., D) to (..., D)."""
    if activation == "swiglu":
        return SwiGLU(width, inner, dropout)
    return MLP(width, inner, {"relu": nn.ReLU, "gelu": nn.GELU}[activation](), dropout)
