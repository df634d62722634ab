"""Fusions of an item's modalities into one vector; values in masked places never matter."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

FUSIONS = Family(
    "fusion",
    {
        "concat": "crossrec.model.fusion.concat:ConcatFusion",
        "weighted": "crossrec.model.fusion.weighted:WeightedFusion",
        "attention": "crossrec.model.fusion.attention:AttentionFusion",
        "gated": "crossrec.model.fusion.gated:GatedFusion",
    },
)
FusionOptions = Annotated[ComponentOptions, FUSIONS]
