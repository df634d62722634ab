"""Pretrained weights: where they come from, and how their files are read."""

from crossrec.runtime.weights.lora import LoRAOptions, attach_lora, lora_targets
from crossrec.runtime.weights.readers import read_state_dict
from crossrec.runtime.weights.registry import PACKAGES, PackagedWeights
from crossrec.runtime.weights.resolve import ResolvedWeights, Source, WeightsError, resolve, ways
from crossrec.runtime.weights.transformers import causal_lm, load_model, load_settings

__all__ = [
    "PACKAGES",
    "LoRAOptions",
    "PackagedWeights",
    "ResolvedWeights",
    "Source",
    "WeightsError",
    "attach_lora",
    "causal_lm",
    "load_model",
    "load_settings",
    "lora_targets",
    "read_state_dict",
    "resolve",
    "ways",
]
