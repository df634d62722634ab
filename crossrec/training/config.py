"""Configuration of the trainer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossrec.config import Config


class TrainerConfig(Config):
    """How the model is trained."""

    epochs: int = Field(20, ge=0, le=1_000_000)
    batch_size: int = Field(
        64, ge=1, le=10_000_000, description="histories in one optimiser step, over all processes"
    )
    accumulation: int = Field(
        1, ge=1, le=10_000, description="parts in which each process works through its share"
    )
    lr: float = Field(1e-3, gt=0, le=100)
    encoder_lr: float = Field(1e-4, gt=0, le=100, description="of pretrained weights: encoders and adapters")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, le=1, description="share of all steps over which the rate rises")
    final_lr: float = Field(0.05, ge=0, le=1, description="what the cosine falls to, as a share of lr")
    clip_norm: float = Field(1.0, gt=0, le=1_000_000_000)
    window_overlap: float = Field(
        0.25, ge=0, lt=1, description="of a long history's windows, so that their first clicks have context"
    )
    negatives_from: Literal["clicked", "catalogue"] = Field(
        "clicked", description="whether items without a training click serve as negatives"
    )
    precision: Literal["no", "bf16", "fp16"] = "no"
    metric: str = Field("ndcg@10", description="what early stopping watches on validation")
    eval_every: int = Field(1, ge=1, description="epochs between validations")
    patience: int = Field(5, ge=1, description="validations without a better one before training stops")
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints")
    collective_timeout: float = Field(
        600, gt=0, description="seconds without a sign of life after which the other processes end"
    )
    tracker: Literal["none", "wandb", "tensorboard"] = "none"
    wandb_mode: Literal["offline", "online", "disabled"] = "offline"
