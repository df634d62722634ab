"""A catalogue with further items behind its own."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.data.catalog import Catalog, CatalogError


def test_items_join_behind_whatever_the_columns() -> None:
    first = Catalog.from_columns(
        {"item_id": ["a", "b", "c"], "text": ["x", None, "z"], "brand": ["p", None, "q"], "stock": [1, 2, 3]}
    ).select(np.asarray([2, 0]))
    more = Catalog.from_columns({"item_id": ["d"], "image_bytes": [b"picture"], "price": [2.5], "stock": [7]})
    both = first.extended(more)
    assert both.item_ids.tolist() == ["c", "a", "d"]
    assert both.index == {"c": 0, "a": 1, "d": 2}
    assert both.column("brand").to_pylist() == ["q", "p", None]
    assert both.column("stock").to_pylist() == [3, 1, 7]
    assert both.texts(np.arange(3)) == ["z", "x", ""]
    assert both.names_image.tolist() == [False, False, True]
    assert both.image_bytes(2) == b"picture"
    again = both.extended(Catalog.from_columns({"item_id": ["e"], "categories": [["k"]]}))
    assert again.category_names == ["k"]
    assert len(first) == 2, "the first catalogue stays as it is"


def test_an_id_that_is_there_is_refused() -> None:
    catalog = Catalog.from_columns({"item_id": ["a"]})
    with pytest.raises(CatalogError, match="'a' is in the catalogue already"):
        catalog.extended(Catalog.from_columns({"item_id": ["a"]}))
