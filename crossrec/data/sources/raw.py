"""What every source delivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossrec.data.account import Step
    from crossrec.data.catalog import Catalog
    from crossrec.data.interactions import Interactions


@dataclass(frozen=True)
class RawData:
    """A data set before cleaning.

    Args:
        name: what the data set is called.
        note: one line about the data that every output prints ("" when none).
        catalog: the items.
        interactions: the click log, in file order.
        steps: what reading counted, such as prices that can't be read; the account begins with them.
        ordinal: whether the log's times are positions, not points in time.
    """

    name: str
    note: str
    catalog: Catalog
    interactions: Interactions
    steps: tuple[Step, ...] = ()
    ordinal: bool = False
