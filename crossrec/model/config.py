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
    """Mixes each id embedding with those of the items most like it: what one item learns, its like learn too.

    Source:
        Zhu et al. 2021, "Graph-based embedding smoothing for sequential recommendation" (GES), who run graph
        convolutions over transitions and attributes; ours is one step over the k most similar items.
    """

    neighbours: int = Field(
        10, ge=1, le=100_000, description="items that are mixed in, the most similar ones"
    )
    share: float = Field(0.4, gt=0, lt=1, description="of the neighbours in the sum, each as it is similar")
    similarity: ItemSimilarity = Field(
        "clicks", description="by common users, by vectors of text and picture, or by whichever is larger"
    )


class ModelConfig(Config):
    """Which modalities describe an item, how they are fused, and what reads the history."""

    text: TextEncoder.Options | None = TextEncoder.Options()
    image: ImageEncoder.Options | None = ImageEncoder.Options()
    item_id: bool = Field(False, description="a trained embedding an item, as one more modality")
    smoothing: SmoothingConfig | None = Field(None, description="of the id embeddings among similar items")
    item_group: bool = Field(
        False, description="a trained embedding of each item's group of ``segments``, as one more modality"
    )
    fusion: FusionOptions = Field(default=GatedFusion.Options(), description="not used with ids alone")
    sequence: SequenceOptions = SASRec.Options()
    width: int = Field(64, ge=1, le=65_536, description="D of item vectors and hidden states")
    similarity: Literal["cosine", "dot"] = "cosine"
    temperature: float = Field(0.07, gt=0, le=10_000, description="divides the cosine; ignored by dot")
    item_dropout: float = Field(0.1, ge=0, lt=1, description="of the projected features")
    modality_dropout: float = Field(
        0.0, ge=0, lt=1, description="chance that training hides a present modality of an item (never all)"
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
