"""Configurations of the training objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from crossrec.config import Config, Family

if TYPE_CHECKING:
    from crossrec.objectives.full_softmax import FullSoftmax
    from crossrec.objectives.sampled_softmax import SampledSoftmax

Distribution = Literal["uniform", "popularity", "mixed"]


class FullSoftmaxConfig(Config):
    """Cross-entropy over the whole catalogue.

    Args:
        chunk: positions whose logits are held at once, which bounds memory by ``chunk * N`` logits;
            when left out, what suits the device.
        label_smoothing: share of the target's probability that is spread evenly over the catalogue.
    """

    type: Literal["full_softmax"] = "full_softmax"
    chunk: int | None = Field(default=None, ge=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def build(self, train_counts: np.ndarray) -> FullSoftmax:
        """The objective; it needs no counts, which are taken so that every objective builds alike.

        Args:
            train_counts: (N,) training clicks of each item.
        """
        from crossrec.objectives.full_softmax import FullSoftmax

        return FullSoftmax(self.chunk, self.label_smoothing)


class SampledSoftmaxConfig(Config):
    """Cross-entropy over the target and negatives that the whole batch shares.

    Args:
        negatives: K, negatives drawn for a step, with replacement.
        distribution: where negatives come from: every item alike, by popularity, or a mixture.
        power: exponent that flattens popularity, ``(clicks + smoothing) ** power``.
        smoothing: clicks added to every item's count, so that items without clicks can be drawn.
        uniform_share: share of even draws in ``mixed``.
        correct_log_q: whether each negative's logit is lowered by the log of its expected count.
    """

    type: Literal["sampled_softmax"] = "sampled_softmax"
    negatives: int = Field(default=512, ge=1)
    distribution: Distribution = "uniform"
    power: float = Field(default=0.75, ge=0)
    smoothing: float = Field(default=1.0, ge=0)
    uniform_share: float = Field(default=0.5, ge=0, le=1)
    correct_log_q: bool = True

    def build(self, train_counts: np.ndarray) -> SampledSoftmax:
        """The objective.

        Args:
            train_counts: (N,) clicks of each item in the training part alone: no click after the
                cut may be counted.
        """
        from crossrec.objectives.negatives import NegativeSampler
        from crossrec.objectives.sampled_softmax import SampledSoftmax

        return SampledSoftmax(NegativeSampler.from_config(self, train_counts), self.correct_log_q)


ObjectiveConfig = Annotated[FullSoftmaxConfig | SampledSoftmaxConfig, Family()]
"""For fields of other configurations."""
