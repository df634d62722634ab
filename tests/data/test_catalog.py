"""The catalogue: order, what is missing, pictures, categories."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from crossrec.data.catalog import Catalog, CatalogError
from crossrec.data.interactions import InteractionDataError, Interactions
from crossrec.runtime.pictures import UnreadablePicture


def picture(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


def three_items(folder: Path) -> Catalog:
    (folder / "red.png").write_bytes(picture("red"))
    return Catalog.from_columns(
        {
            "item_id": ["a", "b", "c"],
            "text": ["first", None, " \t"],
            "image_path": [str(folder / "red.png"), None, str(folder / "gone.png")],
            "image_bytes": [None, picture("blue"), None],
            "categories": [["y", "x", "x"], None, ["x"]],
            "brand": ["p", "q", None],
        }
    )


def test_rows_keep_their_order_and_extra_columns(tmp_path: Path) -> None:
    catalog = three_items(tmp_path)
    assert catalog.index == {"a": 0, "b": 1, "c": 2}
    assert catalog.texts(np.asarray([2, 0, 1])) == [" \t", "first", ""]
    assert catalog.has_text.tolist() == [True, False, False]
    assert catalog.names_image.tolist() == [True, True, True]
    assert catalog.has_image.tolist() == [True, True, False]
    assert catalog.column("brand").to_pylist() == ["p", "q", None]


def test_select_reorders_everything(tmp_path: Path) -> None:
    chosen = three_items(tmp_path).select(np.asarray([2, 0]))
    assert list(chosen.item_ids) == ["c", "a"]
    assert chosen.index == {"c": 0, "a": 1}
    assert chosen.column("brand").to_pylist() == [None, "p"]
    assert chosen.texts(np.asarray([1])) == ["first"]
    assert chosen.has_text.tolist() == [False, True]
    again = chosen.select(np.asarray([1]))
    assert list(again.item_ids) == ["a"]
    assert len(again.select(np.asarray([], dtype=int))) == 0


def test_pictures_come_from_path_or_bytes(tmp_path: Path) -> None:
    catalog = three_items(tmp_path)
    for row, colour in ((0, (255, 0, 0)), (1, (0, 0, 255))):
        image = catalog.image(row)
        assert image is not None
        assert image.mode == "RGB"
        assert image.getpixel((0, 0)) == colour
    with pytest.raises(UnreadablePicture, match=r"gone.png"):
        catalog.image(2)
    assert Catalog.from_columns({"item_id": ["a"]}).image(0) is None


def test_category_matrix_counts_a_category_once(tmp_path: Path) -> None:
    catalog = three_items(tmp_path)
    assert catalog.category_names == ["x", "y"]
    assert catalog.category_matrix.toarray().tolist() == [[1, 1], [0, 0], [1, 0]]


def test_with_prices_changes_prices_only(tmp_path: Path) -> None:
    before = three_items(tmp_path).select(np.asarray([1, 2]))
    after = before.with_prices(pa.array([2.5, None], pa.float64()))
    assert after.column("price").to_pylist() == [2.5, None]
    assert after.column("brand").to_pylist() == ["q", None]
    assert list(after.item_ids) == ["b", "c"]
    assert before.column("price").to_pylist() == [None, None]


def test_ids_must_be_there_and_differ() -> None:
    with pytest.raises(CatalogError, match="1 catalogue rows have no item_id, the first is row 1"):
        Catalog.from_columns({"item_id": ["a", None]})
    with pytest.raises(CatalogError, match="item_id 'b' stands more than once"):
        Catalog.from_columns({"item_id": ["a", "b", "b"]})
    dataset = Catalog.from_columns({"item_id": ["a"]}).dataset.remove_columns("price")
    with pytest.raises(CatalogError, match=r"lacks the columns \['price'\]"):
        Catalog(dataset)


def test_an_empty_catalogue_is_possible() -> None:
    catalog = Catalog.from_columns({"item_id": []})
    assert len(catalog) == 0
    assert not len(catalog.has_text)
    assert not len(catalog.has_image)
    assert catalog.category_matrix.shape == (0, 0)


def test_a_log_needs_its_columns() -> None:
    with pytest.raises(InteractionDataError, match=r"lacks the columns \['timestamp'\]"):
        Interactions(pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}))
