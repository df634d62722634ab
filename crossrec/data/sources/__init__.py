"""One file per data set format; everything after a source sees only ``Catalog`` and ``Interactions``.

A source is a config with ``load(root, cache_dir) -> RawData``.
"""

from typing import Annotated

from crossrec.config import Family
from crossrec.data.sources.demo.config import DemoConfig
from crossrec.data.sources.movielens import MovieLensConfig
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.table import TableConfig

SourceConfig = Annotated[DemoConfig | MovieLensConfig | TableConfig, Family()]

__all__ = ["DemoConfig", "MovieLensConfig", "RawData", "SourceConfig", "TableConfig"]
