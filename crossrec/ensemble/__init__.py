"""Several recommenders as one: weighted ensembles of scores or ranks, and cascades of stages."""

from typing import Annotated

from crossrec.config import Family
from crossrec.ensemble.base import ListFusionBaseOptions

LIST_FUSIONS = Family(
    "list fusion",
    {
        "scores": "crossrec.ensemble.list_fusion:ScoreFusion",
        "rrf": "crossrec.ensemble.list_fusion:ReciprocalRankFusion",
        "borda": "crossrec.ensemble.list_fusion:BordaFusion",
    },
)
ListFusionOptions = Annotated[ListFusionBaseOptions, LIST_FUSIONS]
