"""Every baseline's configuration in one union, told apart by ``type``."""

from __future__ import annotations

from typing import Annotated

from crossrec.baselines.content_config import ContentConfig, FeatureModelConfig
from crossrec.baselines.factor_config import ALSConfig, BPRConfig, EASEConfig
from crossrec.baselines.graph_config import LightGCNConfig, NGCFConfig
from crossrec.baselines.neighbour_config import ItemKNNConfig, UserKNNConfig
from crossrec.baselines.popularity_config import PopularityConfig, RecentPopularityConfig
from crossrec.baselines.tower_config import TwoTowerConfig, VBPRConfig
from crossrec.config import UnionFamily

__all__ = [
    "ALSConfig",
    "BPRConfig",
    "BaselineConfig",
    "ContentConfig",
    "EASEConfig",
    "FeatureModelConfig",
    "ItemKNNConfig",
    "LightGCNConfig",
    "NGCFConfig",
    "PopularityConfig",
    "RecentPopularityConfig",
    "TwoTowerConfig",
    "UserKNNConfig",
    "VBPRConfig",
]

BaselineConfig = Annotated[
    PopularityConfig
    | RecentPopularityConfig
    | ItemKNNConfig
    | UserKNNConfig
    | ContentConfig
    | FeatureModelConfig
    | ALSConfig
    | BPRConfig
    | EASEConfig
    | TwoTowerConfig
    | VBPRConfig
    | NGCFConfig
    | LightGCNConfig,
    UnionFamily(),
]
"""Any baseline, told apart by ``type``."""
