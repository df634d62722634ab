"""Explanations of scores by modalities, clicks, attention, pictures and words, and checks of faithfulness."""

from crossrec.explain.content import ItemContent
from crossrec.explain.explainer import Explainer, explain
from crossrec.explain.explanation import METHODS, Explanation, Method, Unavailable
from crossrec.explain.faithfulness import Deletion, Faithfulness, deletion_of, faithfulness
from crossrec.explain.surrogate import ItemFeatures, Surrogate, surrogate

__all__ = [
    "METHODS",
    "Deletion",
    "Explainer",
    "Explanation",
    "Faithfulness",
    "ItemContent",
    "ItemFeatures",
    "Method",
    "Surrogate",
    "Unavailable",
    "deletion_of",
    "explain",
    "faithfulness",
    "surrogate",
]
