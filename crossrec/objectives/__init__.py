"""Training objectives: losses of next-item prediction from hidden states and item vectors."""

from crossrec.objectives.config import FullSoftmaxConfig, ObjectiveConfig, SampledSoftmaxConfig

__all__ = ["FullSoftmaxConfig", "ObjectiveConfig", "SampledSoftmaxConfig"]
