"""Popularity, item-kNN and ALS behind the recommender protocol: the bar that every model is held to."""

from crossrec.baselines.config import ALSConfig, BaselineConfig, ItemKNNConfig, PopularityConfig
from crossrec.baselines.tuning import Trial, tune

__all__ = ["ALSConfig", "BaselineConfig", "ItemKNNConfig", "PopularityConfig", "Trial", "tune"]
