"""Configurations of the diversity terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from crossrec.config import Config, UnionFamily

if TYPE_CHECKING:
    from crossrec.losses.diversity.base import DiversityTerm, ItemInfo


class TermOptions(Config):
    """What every term has.

    Args:
        weight: beside the ranking loss's 1; 0 only measures the term (``adversarial`` can't be measured so).
    """

    weight: float = Field(default=1.0, ge=0, le=1_000_000)


class ListTermOptions(TermOptions):
    """What every term over lists has.

    Args:
        k: length of the lists.
        temperature: of the soft lists, in units of the logits that the ranking loss sees: low for lists that
            are almost hard, high for a gradient that reaches more items.
    """

    k: int = Field(default=10, ge=2, le=10_000)
    temperature: float = Field(default=0.5, gt=0, le=10_000)


class CandidateTermOptions(ListTermOptions):
    """What every term over the items furthest in a list has.

    Args:
        candidates: how many of them; at least k.
    """

    candidates: int = Field(default=100, ge=2, le=100_000)

    @model_validator(mode="after")
    def _hold_a_list(self) -> Self:
        if self.candidates < self.k:
            raise ValueError(
                f"candidates={self.candidates} can't hold a list of k={self.k}; raise candidates or lower k"
            )
        return self


class SimilarityTermConfig(ListTermOptions):
    """Expected intra-list similarity.

    Args:
        space: ``category``, ``text``, ``image``, or ``model`` for the model's own item vectors.
        detach: in the space ``model``, whether only scores learn from the term.
    """

    type: Literal["similarity"] = "similarity"
    space: str = "category"
    detach: bool = True

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.similarity import SimilarityTerm

        return SimilarityTerm(space=self.space, k=self.k, temperature=self.temperature, detach=self.detach)


class JaccardTermConfig(CandidateTermOptions):
    """Expected overlap of categories, over the pairs of the candidates."""

    type: Literal["jaccard"] = "jaccard"

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.jaccard import JaccardTerm

        return JaccardTerm(k=self.k, temperature=self.temperature, candidates=self.candidates)


class DPPTermConfig(CandidateTermOptions):
    """Log-determinant of the list, over the candidates.

    Args:
        space: ``category``, ``text``, ``image``, or ``model`` for the model's own item vectors.
        detach: in the space ``model``, whether only scores learn from the term.
    """

    type: Literal["dpp"] = "dpp"
    space: str = "category"
    detach: bool = True

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.dpp import DPPTerm

        return DPPTerm(
            space=self.space,
            k=self.k,
            temperature=self.temperature,
            candidates=self.candidates,
            detach=self.detach,
        )


class EntropyTermConfig(ListTermOptions):
    """Minus the entropy of the expected exposure."""

    type: Literal["entropy"] = "entropy"

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.exposure import EntropyTerm

        return EntropyTerm(k=self.k, temperature=self.temperature)


class GiniTermConfig(ListTermOptions):
    """Gini coefficient of the expected exposure."""

    type: Literal["gini"] = "gini"

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.exposure import GiniTerm

        return GiniTerm(k=self.k, temperature=self.temperature)


class AdversarialTermConfig(TermOptions):
    """A discriminator that should not find category or popularity in the user vector.

    It learns only where the term weighs something, so that the weight can't be 0, and before the ``start``
    of a schedule the log shows the cross-entropy of an untrained one.

    Args:
        predicts: what it looks for.
        of: in the click to be predicted, or in the clicks before it.
        buckets: of popularity, each with about the same number of clicks.
        hidden: width of the discriminator.
        reversal: strength of the gradient into the model.
    """

    type: Literal["adversarial"] = "adversarial"
    predicts: Literal["category", "popularity"] = "category"
    of: Literal["target", "history"] = "target"
    buckets: int = Field(default=5, ge=2, le=100_000)
    hidden: int = Field(default=64, ge=1, le=65_536)
    reversal: float = Field(default=1.0, gt=0)

    @field_validator("weight")
    @classmethod
    def _learns(cls, weight: float) -> float:
        if weight == 0:
            raise ValueError(
                "a discriminator without weight never learns, so that it measures nothing; "
                "give the term a weight or leave it out"
            )
        return weight

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.adversarial import (
            AdversarialTerm,
            category_labels,
            popularity_labels,
        )

        labels_NC = (
            category_labels(info) if self.predicts == "category" else popularity_labels(info, self.buckets)
        )
        return AdversarialTerm(labels_NC, width=width, hidden=self.hidden, of=self.of, reversal=self.reversal)


class ItemToUserTermConfig(TermOptions):
    """Softmax over the sampled queries for each target."""

    type: Literal["item_to_user"] = "item_to_user"

    def build(self, info: ItemInfo, width: int) -> DiversityTerm:
        """The term, from what is known of the training items; ``width`` is D of the queries."""
        from crossrec.losses.diversity.item_to_user import ItemToUserTerm

        return ItemToUserTerm()


TermConfig = Annotated[
    SimilarityTermConfig
    | JaccardTermConfig
    | DPPTermConfig
    | EntropyTermConfig
    | GiniTermConfig
    | AdversarialTermConfig
    | ItemToUserTermConfig,
    UnionFamily(),
]
"""For fields of other configurations."""
