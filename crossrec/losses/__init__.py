"""Losses of next-item prediction: ranking losses here, added terms in :mod:`crossrec.losses.terms`."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

LOSSES = Family(
    "loss",
    {
        "full_softmax": "crossrec.losses.full_softmax:FullSoftmax",
        "sampled_softmax": "crossrec.losses.sampled_softmax:SampledSoftmax",
        "gbce": "crossrec.losses.binary:GBCELoss",
        "bce": "crossrec.losses.binary:BCELoss",
        "bpr": "crossrec.losses.binary:BPRLoss",
    },
)
LossOptions = Annotated[ComponentOptions, LOSSES]

DIVERSITY_SETS = Family(
    "diversity loss",
    {
        "terms": "crossrec.losses.terms.term_set:DiversityTerms",
        "user_item_diversity": "crossrec.losses.terms.term_set:UserItemDiversity",
    },
)
DiversityOptions = Annotated[ComponentOptions, DIVERSITY_SETS]
