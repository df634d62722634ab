"""Training objectives: losses of next-item prediction from hidden states and item vectors."""

from crossrec.objectives.config import (
    BCEConfig,
    BPRConfig,
    FullSoftmaxConfig,
    GBCEConfig,
    ObjectiveConfig,
    SampledSoftmaxConfig,
)

__all__ = [
    "BCEConfig",
    "BPRConfig",
    "FullSoftmaxConfig",
    "GBCEConfig",
    "ObjectiveConfig",
    "SampledSoftmaxConfig",
]
