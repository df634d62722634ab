"""The catalogue's part of cleaning."""

from __future__ import annotations

import logging

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossrec.data.account import Step
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning import CleaningConfig
from crossrec.runtime import distributed

logger = logging.getLogger(__name__)


def clean_catalog(
    catalog: Catalog, clicked: np.ndarray, config: CleaningConfig
) -> tuple[Catalog, np.ndarray, list[Step]]:
    """Selects items, mends prices, and counts what is missing.

    Args:
        catalog: N items.
        clicked: (T,) catalogue indices in the cleaned log.
        config: ``catalog`` says which items stay.

    Returns:
        The catalogue of N' items, (N,) the new index of each old one (-1 where it was dropped), steps.
    """
    steps = []
    n = len(catalog)
    rows = np.arange(n)
    if config.catalog == "clicked":
        kept = np.unique(clicked)
        steps.append(Step("item without a click", "items", n, n - len(kept), "not in the cleaned log"))
        rows = np.full(n, -1)
        rows[kept] = np.arange(len(kept))
        catalog = catalog.select(kept)
    n = len(catalog)
    catalog, invalid = _with_valid_prices(catalog)
    steps.append(Step("invalid price", "items", n, 0, f"{invalid:,} not a number or negative: set to none"))
    without_text, without_picture = n - catalog.has_text.sum(), n - catalog.names_image.sum()
    steps.append(Step("missing text", "items", n, 0, f"{without_text:,} without: kept and masked"))
    steps.append(Step("missing picture", "items", n, 0, f"{without_picture:,} without: kept and masked"))
    steps.append(_unreadable_pictures(catalog))
    return catalog, rows, steps


def _unreadable_pictures(catalog: Catalog) -> Step:
    """Counts pictures that are named, but are none, by their first bytes; warns where they are the most."""
    unreadable = np.flatnonzero(catalog.names_image & ~catalog.has_image)
    detail = f"{len(unreadable):,} that are none: kept and masked"
    if len(unreadable):
        example = catalog.image_fault(int(unreadable[0]))
        detail += f", such as {example}"
        named = int(catalog.names_image.sum())
        if 2 * len(unreadable) >= named and distributed.is_main():
            logger.warning(
                "%s of %s pictures can't be read, such as %s", f"{len(unreadable):,}", f"{named:,}", example
            )
    return Step("unreadable picture", "items", len(catalog), 0, detail)


def _with_valid_prices(catalog: Catalog) -> tuple[Catalog, int]:
    prices = catalog.column("price").cast(pa.float64())
    valid = pc.fill_null(pc.and_(pc.is_finite(prices), pc.greater_equal(prices, 0.0)), True)
    invalid = len(catalog) - int(pc.sum(valid).as_py() or 0)
    if not invalid:
        return catalog, 0
    mended = pc.if_else(valid, prices, pa.scalar(None, pa.float64()))
    return catalog.with_prices(mended), invalid
