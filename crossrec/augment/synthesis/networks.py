"""Layers of the generators over vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE_FLOOR = 1e-6


class ConditionalMLP(nn.Module):
    """Residual blocks that all see the classes (ResNet, He et al. 2016, without normalisation).

    Batch norm would make a critic's penalty depend on the batch (Gulrajani et al. 2017, section 4).

    Args:
        inputs: width of the input.
        n_classes: G, width of the class vectors.
        width: of the hidden layers.
        depth: residual blocks.
        outputs: width of the output.
    """

    def __init__(self, inputs: int, n_classes: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.entry = nn.Linear(inputs + n_classes, width)
        self.inner = nn.ModuleList(nn.Linear(width + n_classes, width) for _ in range(depth))
        self.outer = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.exit = nn.Linear(width, outputs)

    def forward(self, inputs_BW: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, inputs), (B, G) -> (B, outputs)."""
        hidden_BD = self.entry(torch.cat([inputs_BW, classes_BG], 1))
        for inner, outer in zip(self.inner, self.outer, strict=True):
            seen_BD = functional.leaky_relu(hidden_BD, 0.2)
            change_BD = functional.leaky_relu(inner(torch.cat([seen_BD, classes_BG], 1)), 0.2)
            hidden_BD = hidden_BD + outer(change_BD)
        return self.exit(functional.leaky_relu(hidden_BD, 0.2))


class Scale(nn.Module):
    """Centres vectors and divides them by one number, so that rates suit any scale; saved with the weights.

    Args:
        samples_NW: (n, W) training vectors.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, samples_NW: Tensor) -> None:
        super().__init__()
        mean_W = samples_NW.mean(0)
        # One number for all dimensions keeps distances in proportion.
        spread = (samples_NW - mean_W).square().mean().sqrt().clamp(min=SCALE_FLOOR)
        self.register_buffer("mean", mean_W)
        self.register_buffer("spread", spread)

    def forward(self, samples_BW: Tensor) -> Tensor:
        """(B, W) as the networks take it."""
        return (samples_BW - self.mean) / self.spread

    def back(self, scaled_BW: Tensor) -> Tensor:
        """(B, W) on the scale of the training samples."""
        return scaled_BW * self.spread + self.mean


def decayed(optimiser: torch.optim.Optimizer, lr: float, progress: float) -> None:
    """Sets a rate that falls linearly from ``lr`` to a tenth of it."""
    for group in optimiser.param_groups:
        group["lr"] = lr * (1 - 0.9 * progress)
