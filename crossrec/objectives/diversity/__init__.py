"""Diversity as a training loss: named terms that are added to any ranking loss."""

from crossrec.objectives.diversity.config import (
    DiversityConfig,
    DiversityLossConfig,
    UserItemDiversityConfig,
    WeightingConfig,
)
from crossrec.objectives.diversity.term_config import TermConfig

__all__ = [
    "DiversityConfig",
    "DiversityLossConfig",
    "TermConfig",
    "UserItemDiversityConfig",
    "WeightingConfig",
]
