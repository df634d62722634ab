"""Configurations of the training objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from crossrec.config import Config, UnionFamily
from crossrec.objectives.balance_config import BalanceConfig, NoBalanceConfig
from crossrec.types import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_matrix

    from crossrec.objectives.binary import BPR, GBCE
    from crossrec.objectives.full_softmax import FullSoftmax
    from crossrec.objectives.negatives import NegativeSampler
    from crossrec.objectives.sampled_softmax import SampledSoftmax

Distribution = Literal["uniform", "popularity", "in_batch", "category", "mixed"]


class ObjectiveOptions(Config):
    """What every objective can do.

    Args:
        temperature: divides the logits, on top of the model's own scale.
        balance: how much each click counts.
    """

    temperature: float = Field(default=1.0, gt=0, le=10_000)
    balance: BalanceConfig = NoBalanceConfig()


class NegativesOptions(ObjectiveOptions):
    """Where negatives come from, for every objective that samples them.

    Args:
        negatives: K, negatives drawn for a step or, where they are not shared, for each position; with
            replacement.
        distribution: every item alike, by popularity, the targets of the step, every category alike and in
            it every item, or a mixture.
        mix_with: in ``mixed``, what the draws that are not even come from.
        uniform_share: in ``mixed``, share of even draws.
        power: exponent that flattens popularity, ``(clicks + smoothing) ** power``; targets of the step
            are never flattened.
        smoothing: clicks added to every item's count, so that items without clicks can be drawn.
        shared: whether all positions of a step share one set of negatives, or each has its own. Shared
            ones cost one matrix product and suit a softmax; losses that judge each negative on its own
            starve most items of gradient with them.
    """

    negatives: int = Field(default=512, ge=1, le=1_000_000)
    distribution: Distribution = "uniform"
    mix_with: Literal["popularity", "in_batch", "category"] = "popularity"
    uniform_share: float = Field(default=0.5, ge=0, le=1)
    power: float = Field(default=0.75, ge=0, le=10)
    smoothing: float = Field(default=1.0, ge=0, le=1_000_000_000)
    shared: bool = True

    def build_sampler(
        self, train_counts: np.ndarray, categories: csr_matrix | None = None
    ) -> NegativeSampler:
        """The sampler of negatives.

        Args:
            train_counts: (N,) clicks of each item in the training part alone.
            categories: (N, G) membership of each item; only where draws go by category.

        Raises:
            InputError: draws go by category, and there are none.
        """
        from crossrec.objectives import negatives as ways

        def popularity() -> ways.Draws:
            return ways.popularity_draws(train_counts, self.power, self.smoothing)

        def in_batch() -> ways.Draws:
            return ways.InBatchDraws(train_counts)

        def uniform() -> ways.Draws:
            return ways.UniformDraws(len(train_counts))

        def category() -> ways.Draws:
            if categories is None:
                raise InputError("objective.distribution: 'category' needs the catalogue's categories")
            return ways.category_draws(categories)

        def mixed() -> ways.Draws:
            rest = {"popularity": popularity, "in_batch": in_batch, "category": category}[self.mix_with]
            return ways.MixedDraws(self.uniform_share, uniform(), rest())

        build: dict[str, Callable[[], ways.Draws]] = {
            "uniform": uniform,
            "popularity": popularity,
            "in_batch": in_batch,
            "category": category,
        }
        build["mixed"] = mixed
        return ways.NegativeSampler(build[self.distribution](), self.negatives, shared=self.shared)


class FullSoftmaxConfig(ObjectiveOptions):
    """Cross-entropy over the whole catalogue.

    Args:
        chunk: positions whose logits are held at once, which bounds memory by ``chunk * N`` logits;
            when left out, what suits the device.
        label_smoothing: share of the target's probability that is spread evenly over the catalogue.
    """

    type: Literal["full_softmax"] = "full_softmax"
    chunk: int | None = Field(default=None, ge=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> FullSoftmax:
        """The objective.

        Args:
            train_counts: (N,) clicks of each item in the training part alone: no click after the
                cut may be counted.
            categories: (N, G) membership of each item, for what goes by category.
        """
        from crossrec.objectives.full_softmax import FullSoftmax

        return FullSoftmax(
            self.chunk,
            self.label_smoothing,
            temperature=self.temperature,
            balance=self.balance.build(train_counts, categories),
        )


class SampledSoftmaxConfig(NegativesOptions):
    """Cross-entropy over the target and sampled negatives.

    Args:
        correct_log_q: whether each negative's logit is lowered by the log of its expected count.
        label_smoothing: share of the target's probability that is spread evenly over the target and its
            negatives.
    """

    type: Literal["sampled_softmax"] = "sampled_softmax"
    correct_log_q: bool = True
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> SampledSoftmax:
        """The objective; ``train_counts`` as in :meth:`FullSoftmaxConfig.build`."""
        from crossrec.objectives.sampled_softmax import SampledSoftmax

        return SampledSoftmax(
            self.build_sampler(train_counts, categories),
            correct_log_q=self.correct_log_q,
            label_smoothing=self.label_smoothing,
            temperature=self.temperature,
            balance=self.balance.build(train_counts, categories),
        )


class GBCEConfig(NegativesOptions):
    """Generalised binary cross-entropy, the loss of gSASRec.

    Args:
        t: calibration, 0 for plain BCE to 1 for probabilities as if no negative had been left out.
    """

    type: Literal["gbce"] = "gbce"
    negatives: int = Field(default=256, ge=1, le=1_000_000)
    shared: bool = False
    t: float = Field(default=0.75, ge=0, le=1)

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> GBCE:
        """The objective; ``train_counts`` as in :meth:`FullSoftmaxConfig.build`."""
        from crossrec.objectives.binary import GBCE, gbce_beta

        return GBCE(
            self.build_sampler(train_counts, categories),
            beta=gbce_beta(self.negatives, len(train_counts), self.t),
            temperature=self.temperature,
            balance=self.balance.build(train_counts, categories),
        )


class BCEConfig(NegativesOptions):
    """Binary cross-entropy of the target and its negatives: with one, SASRec's original loss (halved)."""

    type: Literal["bce"] = "bce"
    negatives: int = Field(default=1, ge=1, le=1_000_000)
    shared: bool = False

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> GBCE:
        """The objective; ``train_counts`` as in :meth:`FullSoftmaxConfig.build`."""
        from crossrec.objectives.binary import GBCE

        return GBCE(
            self.build_sampler(train_counts, categories),
            beta=1.0,
            temperature=self.temperature,
            balance=self.balance.build(train_counts, categories),
        )


class BPRConfig(NegativesOptions):
    """Bayesian personalised ranking: the target against each negative."""

    type: Literal["bpr"] = "bpr"
    negatives: int = Field(default=1, ge=1, le=1_000_000)
    shared: bool = False

    def build(self, train_counts: np.ndarray, categories: csr_matrix | None = None) -> BPR:
        """The objective; ``train_counts`` as in :meth:`FullSoftmaxConfig.build`."""
        from crossrec.objectives.binary import BPR

        return BPR(
            self.build_sampler(train_counts, categories),
            temperature=self.temperature,
            balance=self.balance.build(train_counts, categories),
        )


ObjectiveConfig = Annotated[
    FullSoftmaxConfig | SampledSoftmaxConfig | GBCEConfig | BCEConfig | BPRConfig, UnionFamily()
]
"""For fields of other configurations."""
