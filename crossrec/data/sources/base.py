"""Base of all sources, and the data set that each delivers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.config import Component
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning_report import Step
from crossrec.data.interactions import Interactions


@dataclass(frozen=True)
class RawData:
    """A data set before cleaning.

    Args:
        name: name of the data set.
        note: one line about the data that every output prints; may be empty.
        catalog: items.
        interactions: click log, in file order.
        steps: counts of reading, such as unreadable prices; the cleaning report begins with them.
        ordinal: whether the log's times are positions, not points in time.
    """

    name: str
    note: str
    catalog: Catalog
    interactions: Interactions
    steps: tuple[Step, ...] = ()
    ordinal: bool = False


class DataSource(Component, ABC):
    """Reader of one data set format.

    Args:
        options: options of the format, such as file and column names.
        root: folder of the data's files; None where none is configured.
        cache_dir: folder of generated or converted data.
    """

    def __init__(self, options: Any, root: Path | None, cache_dir: Path) -> None:
        self.options, self.root, self.cache_dir = options, root, cache_dir

    @abstractmethod
    def load(self) -> RawData:
        """Return the catalogue and the log.

        Raises:
            SourceError: if the root, a file or a column is missing or can't be read.
        """
