"""Pretrained weights: sources, files and adapters."""

from crossrec.runtime.weights.readers import read_state_dict
from crossrec.runtime.weights.resolve import (
    PACKAGES,
    PackagedWeights,
    ResolvedWeights,
    WeightsError,
    WeightsSource,
    resolve,
    ways,
)
from crossrec.runtime.weights.transformers import causal_lm, load_model, load_settings

__all__ = [
    "PACKAGES",
    "PackagedWeights",
    "ResolvedWeights",
    "WeightsError",
    "WeightsSource",
    "causal_lm",
    "load_model",
    "load_settings",
    "read_state_dict",
    "resolve",
    "ways",
]
