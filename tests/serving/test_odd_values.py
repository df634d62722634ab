"""Values that filters and new items meet once in a while: great numbers, half characters, pandas' NA."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from crossrec.data.catalog import Catalog
from crossrec.serving.filters import as_filters, passing
from crossrec.serving.loaded import LoadedRecommender
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
        ({"column": "text", "equals": "\ud800"}, "not valid Unicode"),
        ({"column": "text", "one_of": ["one", "\udfff"]}, "not valid Unicode"),
        ({"column": "\ud800", "equals": 1}, "not valid Unicode"),
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
        ({"title": "half \ud800"}, "lone surrogate"),
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


def test_a_list_is_no_longer_than_the_catalogue_and_a_warning_says_so_once(
    fresh_shop: LoadedRecommender, tmp_path: Path
) -> None:
    """A billion places would fill any machine's memory."""
    many, n = 10**9, fresh_shop.n_items
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(fresh_shop.recommend(["i2"], k=many)) == n - 1
        assert len(fresh_shop.recommend(["i2"], k=many, exclude_seen=False, rerank="run")) == n
        assert len(fresh_shop.similar("i2", k=many)) == n - 1
        assert len(fresh_shop.popular(many)) == n
        chain = {"stages": [{"type": "mmr"}], "candidates": 100_000}
        assert len(fresh_shop.recommend(["i2"], k=3, rerank=chain)) == 3
        lists = pl.read_parquet(fresh_shop.recommend_batch(tmp_path / "all.parquet", k=many))
    assert lists["rank"].to_numpy().max() <= n
    ours = [str(one.message) for one in told if "items" in str(one.message)]
    assert ours == [f"k=1,000,000,000, but there are {n} items: lists end with the last one"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(fresh_shop.recommend(["i2"], k=n)) == n - 1


@pytest.mark.parametrize("k", [0, -1, -(10**9), 2.5, None, "3"])
def test_lists_of_no_places_are_refused(shop: LoadedRecommender, tmp_path: Path, k: Any) -> None:
    for ask in (
        lambda: shop.recommend(["i2"], k=k),
        lambda: shop.similar("i2", k=k),
        lambda: shop.popular(k),
        lambda: shop.recommend_many([["i2"]], k=k),
        lambda: shop.recommend_batch(tmp_path / "all.parquet", k=k),
    ):
        with pytest.raises(InputError, match="k="):
            ask()
