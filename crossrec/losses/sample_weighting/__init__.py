"""Sample weighting: how much each click counts in a ranking loss (``objective.balance``)."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

SAMPLE_WEIGHTINGS = Family(
    "sample weighting",
    {
        "none": "crossrec.losses.sample_weighting.weights:Unweighted",
        "inverse_propensity": "crossrec.losses.sample_weighting.weights:InversePropensity",
        "class_balanced": "crossrec.losses.sample_weighting.weights:ClassBalanced",
        "category_balanced": "crossrec.losses.sample_weighting.weights:CategoryBalanced",
        "focal": "crossrec.losses.sample_weighting.weights:Focal",
    },
)
SampleWeightingOptions = Annotated[ComponentOptions, SAMPLE_WEIGHTINGS]
