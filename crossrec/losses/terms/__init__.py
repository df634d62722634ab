"""Terms added to a ranking loss: for diversity of lists, and contrastive ones."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

DIVERSITY_TERMS = Family(
    "diversity term",
    {
        "similarity": "crossrec.losses.terms.similarity:SimilarityTerm",
        "jaccard": "crossrec.losses.terms.jaccard:JaccardTerm",
        "dpp": "crossrec.losses.terms.dpp:DPPTerm",
        "entropy": "crossrec.losses.terms.exposure:EntropyTerm",
        "gini": "crossrec.losses.terms.exposure:GiniTerm",
        "adversarial": "crossrec.losses.terms.adversarial:AdversarialTerm",
        "item_to_user": "crossrec.losses.terms.item_to_user:ItemToUserTerm",
    },
)
DiversityTermOptions = Annotated[ComponentOptions, DIVERSITY_TERMS]

CONTRASTIVE_TERMS = Family(
    "contrastive term",
    {
        "sequence_views": "crossrec.losses.terms.info_nce:SequenceViewsTerm",
        "cross_modal": "crossrec.losses.terms.info_nce:CrossModalTerm",
    },
)
ContrastiveTermOptions = Annotated[ComponentOptions, CONTRASTIVE_TERMS]

_CONSTANT = {
    "fixed": "crossrec.losses.terms.weighting:FixedWeighting",
    "schedule": "crossrec.losses.terms.weighting:ScheduledWeighting",
}
TERM_WEIGHTINGS = Family(
    "weighting", {**_CONSTANT, "uncertainty": "crossrec.losses.terms.weighting:UncertaintyWeighting"}
)
TermWeightingOptions = Annotated[ComponentOptions, TERM_WEIGHTINGS]

UNLEARNED_WEIGHTINGS = Family("weighting", _CONSTANT)
"""Weightings that leave the ranking loss as it is."""

UnlearnedWeightingOptions = Annotated[ComponentOptions, UNLEARNED_WEIGHTINGS]
