"""One file per data set format; everything after a source sees only ``Catalog`` and ``Interactions``.

A source is a config with ``load(root, cache_dir) -> RawData``.
"""

from typing import Annotated

from crossrec.config import UnionFamily
from crossrec.data.sources.amazon import AmazonReviews2023Config
from crossrec.data.sources.demo.config import DemoConfig
from crossrec.data.sources.hf_dataset import HFDatasetConfig
from crossrec.data.sources.microlens import MicroLensConfig
from crossrec.data.sources.movielens import MovieLensConfig
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.recbole import RecBoleConfig
from crossrec.data.sources.table import TableConfig

SourceConfig = Annotated[
    DemoConfig
    | TableConfig
    | MovieLensConfig
    | AmazonReviews2023Config
    | MicroLensConfig
    | RecBoleConfig
    | HFDatasetConfig,
    UnionFamily(),
]

__all__ = [
    "AmazonReviews2023Config",
    "DemoConfig",
    "HFDatasetConfig",
    "MicroLensConfig",
    "MovieLensConfig",
    "RawData",
    "RecBoleConfig",
    "SourceConfig",
    "TableConfig",
]
