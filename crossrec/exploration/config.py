"""Configurations of exploration; importing them loads no heavy library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossrec.config import Config, UnionFamily
from crossrec.rerank.base import Relevance

if TYPE_CHECKING:
    from crossrec.exploration.base import Explorer
    from crossrec.rerank.base import ItemTraits


class EpsilonGreedyConfig(Config):
    """Places of the list that go to random candidates.

    Args:
        epsilon: chance of each place.
    """

    type: Literal["epsilon_greedy"] = "epsilon_greedy"
    epsilon: float = Field(default=0.1, ge=0, le=1)

    def build(self, traits: ItemTraits) -> Explorer:
        """The explorer for a catalogue."""
        from crossrec.exploration.epsilon_greedy import EpsilonGreedy

        return EpsilonGreedy(self)


class SoftmaxConfig(Config):
    """Lists drawn by a softmax, place after place (Plackett-Luce).

    Args:
        temperature: low ones follow the scores, high ones draw evenly.
        by_rank: whether candidates are weighed by their rank rather than by their score.
    """

    type: Literal["softmax"] = "softmax"
    temperature: float = Field(default=1.0, gt=0)
    by_rank: bool = False

    def build(self, traits: ItemTraits) -> Explorer:
        """The explorer for a catalogue."""
        from crossrec.exploration.plackett_luce import PlackettLuce

        return PlackettLuce(self)


class DPPSamplingConfig(Config):
    """Random lists of good items that are unlike each other.

    Args:
        quality: how strongly relevance counts: the best candidate's weight is exp(quality) times that of the
            least; beyond 12, fewer items than a list holds would be worth anything in double precision.
        spread: share of the identity in the similarities, for lists of alike items.
        space: what similarity goes by: ``category``, or the cosine of item vectors, ``text``, ``image``,
            ``model``.
        relevance: scale of relevance.
    """

    type: Literal["dpp_sampling"] = "dpp_sampling"
    quality: float = Field(default=4.0, ge=0, le=12)
    spread: float = Field(default=0.1, gt=0, lt=1)
    space: str = "category"
    relevance: Relevance = "minmax"

    def build(self, traits: ItemTraits) -> Explorer:
        """The explorer for a catalogue.

        Raises:
            InputError: the traits have no such space.
        """
        from crossrec.exploration.dpp_sampling import DPPSampling
        from crossrec.rerank.spaces import space_named

        return DPPSampling(self, space_named(self.space, traits))


class BanditOptions(Config):
    """What bandits on the last layer share.

    Args:
        slope: prior mean of a click's chance for one unit of the recommender's score.
        base_rate: prior mean of a click's chance at a score of 0.
        precision: prior precision of every weight, in observations with unit features.
        kept: share of what was learned that is kept when the recommender is retrained.
        position_bias: assumed exponent of examination, place ** -position_bias.
    """

    slope: float = Field(default=0.05, gt=0)
    base_rate: float = Field(default=0.1, ge=0, le=1)
    precision: float = Field(default=10.0, gt=0)
    kept: float = Field(default=0.5, ge=0, le=1)
    position_bias: float = Field(default=0.5, ge=0)


class UCBConfig(BanditOptions):
    """Upper confidence bounds on the last layer.

    Args:
        width: standard deviations above the mean.
    """

    type: Literal["ucb"] = "ucb"
    width: float = Field(default=0.5, ge=0, le=65_536)

    def build(self, traits: ItemTraits) -> Explorer:
        """The explorer for a catalogue."""
        from crossrec.exploration.linear_bandit import UCB

        return UCB(self)


class ThompsonConfig(BanditOptions):
    """Thompson sampling on the last layer.

    Args:
        noise: standard deviation of a click around its chance.
        samples: draws from which the chances of what is shown are estimated; 0 leaves them unknown.
    """

    type: Literal["thompson"] = "thompson"
    noise: float = Field(default=0.3, ge=0)
    samples: int = Field(default=0, ge=0)

    def build(self, traits: ItemTraits) -> Explorer:
        """The explorer for a catalogue."""
        from crossrec.exploration.linear_bandit import ThompsonSampling

        return ThompsonSampling(self)


ExplorationConfig = Annotated[
    EpsilonGreedyConfig | SoftmaxConfig | DPPSamplingConfig | UCBConfig | ThompsonConfig, UnionFamily()
]
"""Any way to explore, told apart by ``type``."""
