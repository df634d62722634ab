"""Baselines: recommenders by collaborative filtering and content with which every model is compared."""

from typing import Annotated

from crossrec.config import ComponentOptions, Family

BASELINES = Family(
    "baseline",
    {
        "popularity": "crossrec.baselines.popularity:Popularity",
        "recent_popularity": "crossrec.baselines.popularity:RecentPopularity",
        "item_knn": "crossrec.baselines.item_knn:ItemKNN",
        "user_knn": "crossrec.baselines.user_knn:UserKNN",
        "content": "crossrec.baselines.content:ContentBased",
        "feature_model": "crossrec.baselines.feature_model:FeatureModel",
        "als": "crossrec.baselines.als:ALS",
        "bpr": "crossrec.baselines.bpr:BPRMF",
        "ease": "crossrec.baselines.ease:EASE",
        "two_tower": "crossrec.baselines.neural.two_tower:TwoTower",
        "vbpr": "crossrec.baselines.neural.vbpr:VBPR",
        "ngcf": "crossrec.baselines.neural.ngcf:NGCF",
        "lightgcn": "crossrec.baselines.neural.lightgcn:LightGCN",
    },
)
BaselineOptions = Annotated[ComponentOptions, BASELINES]
