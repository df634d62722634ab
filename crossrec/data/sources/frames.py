"""Items and clicks as data frames in memory: polars, pandas, Arrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.columns import Columns, TwoTableOptions
from crossrec.data.sources.reading import Faults, SourceError
from crossrec.data.sources.table import joined_tables

ITEMS, CLICKS = "items", "clicks"
"""Names of the two frames in errors."""


class FrameSource(DataSource):
    """Data frames passed from Python; a configuration can describe them, but not load them."""

    class Options(TwoTableOptions):
        """Options of two data frames, as of two tables."""

    options: Options

    def load(self) -> RawData:
        """Raise: the frames are not in the configuration.

        Raises:
            SourceError: always.
        """
        raise SourceError(
            "this experiment was trained from Python on data frames, which its configuration does not hold: "
            "use a folder that model.save(FOLDER) wrote, or pass the frames to crossrec.Dataset again"
        )

    def read(self, items: Any, clicks: Any) -> RawData:
        """Return the data set of two frames.

        Args:
            items: one row per item; anything that polars reads: polars, pandas, Arrow, a mapping of columns.
            clicks: one row per click.

        Raises:
            SourceError: if a column is missing or can't be read.
        """
        shop, log, faults = _polars(items, ITEMS), _polars(clicks, CLICKS), Faults()
        with faults.collected():
            log_columns = Columns(CLICKS, log.columns, "interaction_columns", faults).log(
                self.options.interaction_columns
            )
        with faults.collected():
            uses = Columns(ITEMS, shop.columns, "item_columns", faults).items(self.options.item_columns)
        faults.report()
        return joined_tables(
            self.options,
            log.select(list(dict.fromkeys(log_columns.values()))),
            log_columns,
            shop,
            uses,
            root=Path.cwd() if self.root is None else self.root,
            name=self.options.name or "data frames",
            where=(CLICKS, ITEMS),
            untyped=False,
        )


def _polars(frame: Any, name: str) -> pl.DataFrame:
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    try:
        return frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SourceError(
            f"{name}: polars can't read a {type(frame).__name__} as a table ({error}); pass a polars or "
            "pandas data frame or an Arrow table"
        ) from error
