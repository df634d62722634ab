"""Options of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from crossrec.config import Config


def _unquoted(value: Any) -> Any:
    """Return YAML's reading of an unquoted ``no``, which is false, as the word."""
    return "no" if value is False else value


class TrainerConfig(Config):
    """Options of a training."""

    epochs: int = Field(20, ge=0, le=1_000_000)
    batch_size: int = Field(
        64, ge=1, le=10_000_000, description="histories per optimizer step, over all processes"
    )
    accumulation: int = Field(
        1,
        ge=1,
        le=10_000,
        description="gradient accumulation: parts per step and process",
    )
    lr: float = Field(1e-3, gt=0, le=100)
    encoder_lr: float = Field(
        1e-4, gt=0, le=100, description="rate of pretrained weights: encoders and adapters"
    )
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, le=1, description="share of all steps over which the rate rises")
    final_lr: float = Field(0.05, ge=0, le=1, description="final rate of the cosine, as a share of lr")
    clip_norm: float = Field(1.0, gt=0, le=1_000_000_000)
    window_overlap: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="overlap of a long history's windows, to give first clicks context",
    )
    negatives_from: Literal["clicked", "catalogue"] = Field(
        "clicked", description="whether items without a training click serve as negatives"
    )
    precision: Annotated[Literal["no", "bf16", "fp16"], BeforeValidator(_unquoted)] = "no"
    metric: str = Field("ndcg@10", description="validation metric for early stopping")
    eval_every: int = Field(1, ge=1, description="epochs between validations")
    patience: int = Field(5, ge=1, description="validations without improvement before training stops")
    checkpoint_every: int = Field(200, ge=1, description="steps between checkpoints")
    collective_timeout: float = Field(
        600, gt=0, description="seconds without a heartbeat after which the other processes end"
    )
    tracker: Literal["none", "wandb", "tensorboard"] = "none"
    wandb_mode: Literal["offline", "online", "disabled"] = "offline"


class DistillationConfig(Config):
    """Knowledge distillation: a teacher's lists as soft targets beside the clicks.

    The loss of a click is ``(1 - weight) * ranking loss + weight * temperature² * KL(teacher || student)``,
    the divergence over the teacher's best ``k`` items.
    """

    teacher: Path | None = Field(
        None, description="run folder of the teacher; in Python a fitted recommender may be given to fit()"
    )
    weight: float = Field(0.5, ge=0, le=1, description="weight of the distillation loss")
    temperature: float = Field(1.0, gt=0, le=1000, description="divides the scores of both distributions")
    k: int = Field(100, ge=2, le=10_000, description="items of the teacher's lists")
