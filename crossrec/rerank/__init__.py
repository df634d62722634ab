"""Rerankers: lists that are diverse, novel, calibrated or within rules, from a recommender's candidates."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

RERANKERS = Family(
    "reranker",
    {
        "mmr": "crossrec.rerank.mmr:MMR",
        "dpp": "crossrec.rerank.dpp:GreedyDPP",
        "max_sum": "crossrec.rerank.max_sum:MaxSumDispersion",
        "facility_location": "crossrec.rerank.facility_location:FacilityLocation",
        "ssd": "crossrec.rerank.sliding_spectrum:SlidingSpectrum",
        "xquad": "crossrec.rerank.xquad:XQuAD",
        "calibrated": "crossrec.rerank.calibrated:Calibrated",
        "popularity": "crossrec.rerank.popularity:PopularityDebias",
        "quota": "crossrec.rerank.quota:Quota",
        "fatigue": "crossrec.rerank.fatigue:Fatigue",
        "context": "crossrec.rerank.context:Constraints",
    },
)
RerankerOptions = Annotated[ComponentOptions, RERANKERS]
