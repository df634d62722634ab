"""Configuration of ensembles: how lists are fused, over which candidates, how weights are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from crossrec.config import Config, UnionFamily

if TYPE_CHECKING:
    from crossrec.ensemble.rules import Rule

Normalisation = Literal["zscore", "minmax", "softmax", "log_softmax"]
Missing = Literal["lowest", "veto"]


class ScoreFusionConfig(Config):
    """A weighted sum of scores, normalised for each user and member.

    Args:
        normalise: ``zscore`` where scores are of any scale; ``minmax`` where they are bounded or a list has
            few items; ``softmax`` (a mixture) and ``log_softmax`` (a product of experts) where scores are
            logits, as those of models trained by a softmax are.
        beyond: what a member says of a candidate outside its own list: the score that it gives when asked
            (``scored``), or its list's lowest (``lowest``), which saves asking.
    """

    type: Literal["scores"] = "scores"
    normalise: Normalisation = "zscore"
    beyond: Literal["scored", "lowest"] = "scored"

    def build(self, places: int) -> Rule:
        """The rule; ``places`` makes no difference."""
        from crossrec.ensemble.rules import ScoreRule

        return ScoreRule(self.normalise)

    @property
    def label(self) -> str:
        """How tables call it."""
        return self.normalise.replace("_", "-")


class RRFConfig(Config):
    """Reciprocal rank fusion: a weighted sum of 1 / (constant + rank).

    Args:
        constant: the greater, the less the first places stand out.
    """

    type: Literal["rrf"] = "rrf"
    constant: float = Field(60.0, ge=0)
    beyond: Literal["lowest"] = "lowest"

    def build(self, places: int) -> Rule:
        """The rule; ``places`` makes no difference."""
        from crossrec.ensemble.rules import ReciprocalRankRule

        return ReciprocalRankRule(self.constant)

    @property
    def label(self) -> str:
        """How tables call it."""
        return "reciprocal rank"


class BordaConfig(Config):
    """Borda count: a weighted sum of points that fall evenly along each member's list."""

    type: Literal["borda"] = "borda"
    beyond: Literal["lowest"] = "lowest"

    def build(self, places: int) -> Rule:
        """The rule for lists of so many places."""
        from crossrec.ensemble.rules import BordaRule

        return BordaRule(places)

    @property
    def label(self) -> str:
        """How tables call it."""
        return "Borda"


ListFusionConfig = Annotated[ScoreFusionConfig | RRFConfig | BordaConfig, UnionFamily()]
"""Any way of fusing lists, told apart by ``type``."""

ALL_FUSIONS: tuple[ScoreFusionConfig | RRFConfig | BordaConfig, ...] = (
    ScoreFusionConfig(normalise="zscore"),
    ScoreFusionConfig(normalise="minmax"),
    ScoreFusionConfig(normalise="softmax"),
    ScoreFusionConfig(normalise="log_softmax"),
    RRFConfig(),
    BordaConfig(),
)


class EnsembleConfig(Config):
    """A weighted ensemble.

    Args:
        fusion: of the members' lists.
        candidates: best items of each member that are looked at, C; null for the whole catalogue.
        missing: what -inf from a member means. ``lowest``: it has nothing to say for the item, which then
            counts as the worst of its list, and is out only where no member lists it. ``veto``: the item is
            out, whatever the others say.
    """

    fusion: ListFusionConfig = ScoreFusionConfig()
    candidates: int | None = Field(100, ge=1, le=100_000)
    missing: Missing = "lowest"


class LearningConfig(Config):
    """How weights are learned on validation.

    Args:
        k: places of the lists whose value is maximised.
        budget: weightings that are tried: an even lattice on the simplex, filled up with random ones.
        cross_fits: how often users are halved, to learn on one half and measure on the other.
        seed: of random weightings and halves.
    """

    k: int = Field(10, ge=1, le=10_000)
    budget: int = Field(600, ge=2)
    cross_fits: int = Field(10, ge=1)
    seed: int = Field(0, ge=0)
