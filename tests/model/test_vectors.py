"""Precomputed vectors: rows are matched with items by id, and what can't be trusted is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.data.catalog import Catalog
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities.vectors import Vectors
from crossrec.types import InputError

IDS = ["7", "3", "5", "x"]
ROWS = np.arange(8, dtype=np.float32).reshape(4, 2)


def content(folder: Path, ids: list[str] = IDS, **columns: Any) -> EncodedCatalog:
    return EncodedCatalog(Catalog.from_columns({"item_id": ids, **columns}), folder / "cache", root=folder)


def modality(**options: Any) -> Vectors:
    return Vectors(Vectors.Options.model_validate(options), "audio")


def test_rows_follow_ids_and_not_their_order(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    (tmp_path / "ids.txt").write_text("x\n5\nmissing\n7\n")
    found = modality(file="v.npy", ids="ids.txt").features(content(tmp_path))
    np.testing.assert_array_equal(found.vectors_ND[found.present_N], ROWS[[3, 1, 0]])
    assert found.present_N.tolist() == [True, False, True, True]
    np.save(tmp_path / "ids.npy", np.asarray([5, 3, 7, 9]))
    found = modality(file="v.npy", ids="ids.npy").features(content(tmp_path))
    np.testing.assert_array_equal(found.vectors_ND[:3], ROWS[[2, 1, 0]])
    assert not found.present_N[3]


def test_item_numbers_are_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(8, dtype=np.float16)[:, None])
    found = modality(file="v.npy", ids="numbers").features(content(tmp_path))
    assert found.vectors_ND[:, 0].tolist() == [7, 3, 5, 0]
    assert found.present_N.tolist() == [True, True, True, False]


def test_without_ids_rows_are_those_of_the_table_even_if_items_were_dropped(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    kept = content(tmp_path)
    moved = EncodedCatalog(kept.catalog.select(np.asarray([2, 0])), tmp_path, root=tmp_path)
    found = modality(file="v.npy").features(moved)
    np.testing.assert_array_equal(found.vectors_ND, ROWS[[2, 0]])
    with pytest.raises(InputError, match=r"4 rows and no ids, but the item table has 3 items"):
        modality(file="v.npy").features(content(tmp_path, IDS[:3]))


def test_a_row_of_nan_is_missing_and_a_single_nan_an_error(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[1] = np.nan
    np.save(tmp_path / "v.npy", rows)
    assert modality(file="v.npy").features(content(tmp_path)).present_N.tolist() == [True, False, True, True]
    rows[2, 1] = np.inf
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    with pytest.raises(
        InputError, match=r"v\.npy: row 2 \(item '5'\) has 1 numbers that are NaN or infinite"
    ):
        modality(file="v.npy", ids="ids.txt").features(content(tmp_path))


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [
        ("7\n7\n5\nx", ROWS, "item id '7' is repeated"),
        ("7\n3", ROWS, "2 ids, but .* has 4 rows"),
        (
            "a\nb\nc\nd",
            ROWS,
            "no item of the catalogue has a vector in .*begin with a, b, c, .* with 7, 3, 5",
        ),
        ("\n".join(IDS), ROWS[0], r"an array of shape \(2,\)"),
        ("\n".join(IDS), np.asarray([["a"]] * 4), "type <U1"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, ids: str, rows: np.ndarray, message: str) -> None:
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "ids.txt").write_text(ids)
    with pytest.raises(InputError, match=message):
        modality(file="v.npy", ids="ids.txt").features(content(tmp_path))


def test_no_file_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.asarray([{1: 2}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"v\.npy can't be read"):
        modality(file="v.npy").features(content(tmp_path))


def test_columns_of_lists(tmp_path: Path) -> None:
    column = [[1.0, 2.0], None, [3.0, 4.0], [float("nan")] * 2]
    found = modality(column="sound").features(content(tmp_path, sound=column))
    assert found.present_N.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(found.vectors_ND[0], [1, 2])
    with pytest.raises(InputError, match="row 2 has a vector of 1 numbers, most others have 2"):
        modality(column="sound").features(content(tmp_path, sound=[[1.0, 2.0], [1.0, 2.0], [3.0], None]))
    with pytest.raises(InputError, match="holds string; a vector is a list of numbers"):
        modality(column="sound").features(content(tmp_path, sound=["[1, 2]"] * 4))
    pl.DataFrame({"item_id": IDS, "a": column, "b": column}).write_parquet(tmp_path / "v.parquet")
    with pytest.raises(InputError, match="name the column of vectors"):
        modality(file="v.parquet").features(content(tmp_path))
    assert modality(file="v.parquet", column="a").features(content(tmp_path)).present_N.sum() == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name a file, or a column"),
        ({"file": "v.csv"}, "none of .npy"),
        ({"column": "a", "ids": "ids.txt"}, "ids: only rows of"),
        ({"file": "v.npy", "column": "a"}, "a .npy file has no columns"),
        ({"file": "v.npy", "tensor": "a"}, "only a .safetensors file"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vectors.Options.model_validate(options)
