"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from crossrec.training.config import TrainerConfig

PRETRAINED = ("network.sequence.decoder.", ".encoder.")
"""Parts of parameter names that mark pretrained weights and their adapters."""


def build_optimiser(task: nn.Module, config: TrainerConfig) -> torch.optim.AdamW:
    """AdamW over trainable parameters: pretrained parts at their own rate, no decay on vectors."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            pretrained = any(part in name for part in PRETRAINED)
            groups.setdefault((pretrained, parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.encoder_lr if pretrained else config.lr,
                "weight_decay": config.weight_decay if matrix else 0.0,
            }
            for (pretrained, matrix), parameters in sorted(groups.items())
        ],
        lr=config.lr,
        betas=(0.9, 0.98),
    )


def rate_factor(progress: float, config: TrainerConfig) -> float:
    """What learning rates are multiplied with: linear warm-up, then a cosine down to ``final_lr``.

    Args:
        progress: share of the training done, 0 to 1. Being a pure function of it, the schedule has
            no state that a checkpoint could miss.
    """
    if progress < config.warmup:
        return progress / config.warmup
    done = (progress - config.warmup) / max(1 - config.warmup, 1e-9)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.final_lr + (1 - config.final_lr) * cosine
