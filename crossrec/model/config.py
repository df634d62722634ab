"""Configuration of the cross-modal model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from crossrec.config import Config
from crossrec.data.neighbours import ItemSimilarity
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.model.fusion import FusionOptions
from crossrec.model.fusion.gated import GatedFusion
from crossrec.model.sequence import SequenceOptions
from crossrec.model.sequence.sasrec import SASRec


class SmoothingConfig(Config):
    """ID-embedding smoothing: each id embedding is mixed with those of the most similar items.

    Source:
        Zhu et al. 2021, "Graph-based embedding smoothing for sequential recommendation" (GES), who run graph
        convolutions over transitions and attributes; ours is one step over the k most similar items.
    """

    neighbours: int = Field(10, ge=1, le=100_000, description="number of most similar items to mix in")
    share: float = Field(0.4, gt=0, lt=1, description="weight of the neighbours, divided by similarity")
    similarity: ItemSimilarity = Field(
        "clicks", description="similarity by common users, by text and picture vectors, or the larger of both"
    )


class ModelConfig(Config):
    """Configuration of the model: modalities, fusion and sequence model."""

    text: TextEncoder.Options | None = TextEncoder.Options()
    image: ImageEncoder.Options | None = ImageEncoder.Options()
    item_id: bool = Field(False, description="one learned embedding per item, as a further modality")
    smoothing: SmoothingConfig | None = Field(
        None, description="smoothing of id embeddings among similar items"
    )
    item_group: bool = Field(
        False, description="one learned embedding per item group of ``segments``, as a further modality"
    )
    fusion: FusionOptions = Field(default=GatedFusion.Options(), description="not used with ids alone")
    sequence: SequenceOptions = SASRec.Options()
    width: int = Field(64, ge=1, le=65_536, description="D of item vectors and hidden states")
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: float = Field(0.07, gt=0, le=10_000, description="divisor of the cosine; ignored by dot")
    item_dropout: float = Field(0.1, ge=0, lt=1, description="dropout rate of the projected features")
    modality_dropout: float = Field(
        0.0, ge=0, lt=1, description="probability that training hides a modality of an item (never all)"
    )
    whiten: Annotated[int, Field(ge=1, le=65_536)] | Literal["auto"] | None = Field(
        "auto",
        description="dimensions that frozen features are PCA-whitened to; auto chooses by the number of "
        "items and their variance, null leaves the features as they are",
    )

    @model_validator(mode="after")
    def _some_modality(self) -> Self:
        if self.text is None and self.image is None and not self.item_id:
            raise ValueError("text, image and item_id are all off: a model needs at least one of them")
        if self.smoothing is not None and not self.item_id:
            raise ValueError("smoothing mixes id embeddings: set item_id: true, or smoothing: null")
        return self
