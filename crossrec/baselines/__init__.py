"""Recommenders from collaborative filtering and content: the bar that every model is held to."""

from crossrec.baselines.config import (
    ALSConfig,
    BaselineConfig,
    BPRConfig,
    ContentConfig,
    EASEConfig,
    FeatureModelConfig,
    ItemKNNConfig,
    LightGCNConfig,
    NGCFConfig,
    PopularityConfig,
    RecentPopularityConfig,
    TwoTowerConfig,
    UserKNNConfig,
    VBPRConfig,
)
from crossrec.baselines.context import BaselineContext
from crossrec.baselines.tuning import Trial, TuningBudget, tune

__all__ = [
    "ALSConfig",
    "BPRConfig",
    "BaselineConfig",
    "BaselineContext",
    "ContentConfig",
    "EASEConfig",
    "FeatureModelConfig",
    "ItemKNNConfig",
    "LightGCNConfig",
    "NGCFConfig",
    "PopularityConfig",
    "RecentPopularityConfig",
    "Trial",
    "TuningBudget",
    "TwoTowerConfig",
    "UserKNNConfig",
    "VBPRConfig",
    "tune",
]
