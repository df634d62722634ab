"""Diversity as a training loss: named terms that are added to any ranking loss."""

from crossrec.losses.diversity.config import (
    DiversityConfig,
    DiversityLossConfig,
    UserItemDiversityConfig,
    WeightingConfig,
)
from crossrec.losses.diversity.term_config import TermConfig

__all__ = [
    "DiversityConfig",
    "DiversityLossConfig",
    "TermConfig",
    "UserItemDiversityConfig",
    "WeightingConfig",
]
