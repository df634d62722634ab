"""Values that filters and new items meet once in a while: great numbers, half characters, pandas' NA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from crossrec.data.catalog import Catalog
from crossrec.serving.filters import as_filters, passing
from crossrec.serving.new_items import new_catalog
from crossrec.types import InputError

CATALOG = Catalog.from_columns(
    {
        "item_id": ["a", "b"],
        "text": ["one", "two"],
        "image_path": ["/home/somebody/a.png", None],
        "stamp": [1_700_000_000_123_456_789, 3],
    }
)


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ({"column": "stamp", "minimum": 5}, [True, False]),
        ({"column": "stamp", "equals": 1_700_000_000_123_456_789}, [True, False]),
        ({"column": "stamp", "maximum": 10**30}, [True, True]),
    ],
)
def test_numbers_beyond_a_floats_digits(rule: dict[str, Any], passes: list[bool]) -> None:
    assert passing(CATALOG, as_filters([rule])[0]).tolist() == passes


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"column": "stamp", "minimum": 10**400}, "a number"),
        ({"column": "text", "equals": "\ud800"}, "half a character"),
        ({"column": "text", "one_of": ["one", "\udfff"]}, "half a character"),
        ({"column": "\ud800", "equals": 1}, "half a character"),
        # Asked often enough, it would tell where on this machine the pictures lie.
        ({"column": "image_path", "minimum": "/home"}, "no column"),
    ],
)
def test_filters_that_can_not_be_asked(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        passing(CATALOG, as_filters([rule])[0])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"categories": 5}, "categories must be texts"),
        ({"title": "half \ud800"}, "half a character"),
        ({"stamp": 2**70}, "'stamp'"),
    ],
)
def test_rows_that_can_not_be_kept(row: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        new_catalog([{"item_id": "new", "text": "three", **row}], CATALOG)


def test_numbers_of_numpy_and_what_pandas_misses() -> None:
    rows = [{"item_id": "n", "text": "three", "price": price} for price in (np.int64(5), np.float32(0.5))]
    assert [new_catalog([row], CATALOG).column("price").to_pylist() for row in rows] == [[5.0], [0.5]]
    frame = pd.DataFrame(
        {
            "item_id": pd.array(["n", "m"], dtype="string"),
            "title": pd.array(["New", pd.NA], dtype="string"),
            "text": pd.array(["three", "four"], dtype="string"),
            "price": pd.array([pd.NA, 4], dtype="Int64"),
            "categories": [["kind"], None],
        }
    )
    found = new_catalog(frame, CATALOG)
    assert found.column("title").to_pylist() == ["New", None]
    assert found.column("price").to_pylist() == [None, 4.0]
    assert found.column("categories").to_pylist() == [["kind"], None]
