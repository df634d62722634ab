"""Hugging Face data sets: saved folders, local files, splits, pictures kept as bytes."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from crossrec.config import validate
from crossrec.data.sources.base import RawData
from crossrec.data.sources.hf_dataset import HFDatasetSource
from crossrec.data.sources.reading import SourceError


def png(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(data, "PNG")
    return data.getvalue()


ITEMS: dict[str, list[Any]] = {
    "sku": [7, 8, 9],
    "title": ["Shoe", None, "Hat"],
    "blurb": [["For", "walking"], [], None],
    "photo": [{"bytes": png("red"), "path": "a.png"}, None, None],
    "tags": [["shoes", "red"], None, []],
    "price": ["$9.50", None, "ask"],
    "stock": [4, 5, None],
}
CLICKS = {
    "who": ["a", "a", "b"],
    "what": [7, 9, 8],
    "when": [datetime(1970, 1, 1, 0, 0, 5), datetime(1970, 1, 1, 0, 0, 6), None],
    "rating": [4.0, None, 2.0],
}
MAPPING: dict[str, Any] = {
    "items": {"path": "shop", "split": "items"},
    "interactions": {"path": "shop", "split": "clicks"},
    "item_columns": {"id": "sku", "text": ["title", "blurb"], "image": "photo", "categories": "tags"},
    "interaction_columns": {"user": "who", "item": "what", "timestamp": "when"},
}


def tables(root: Path) -> tuple[datasets.Dataset, datasets.Dataset]:
    file = root / "other.png"
    file.write_bytes(png("blue"))
    rows = {**ITEMS, "photo": [ITEMS["photo"][0], None, {"bytes": None, "path": str(file)}]}
    items = datasets.Dataset.from_dict(rows).cast_column("photo", datasets.Image())
    return items, datasets.Dataset.from_dict(CLICKS)


def load(root: Path | None, cache: Path, **changes: Any) -> RawData:
    return validate(HFDatasetSource.Options, MAPPING | changes, "test").build(root, cache).load()


def check(raw: RawData) -> None:
    rows = raw.catalog.dataset
    assert rows["item_id"][:] == ["7", "8", "9"]
    assert rows["title"][:] == ["Shoe", None, "Hat"]
    assert rows["text"][:] == ["Shoe For walking", None, "Hat"]
    assert rows["categories"][:] == [["shoes", "red"], None, None]
    assert rows["price"][:] == [9.5, None, None]
    assert rows["stock"][:] == [4, 5, None]
    log = raw.interactions.frame
    assert log["user_id"].to_list() == ["a", "a", "b"]
    assert log["item_id"].to_list() == ["7", "9", "8"]
    assert log["timestamp"].to_list() == [5.0, 6.0, None]
    assert log["rating"].to_list() == [4.0, None, 2.0]


def test_a_saved_data_set_keeps_its_pictures_as_bytes(tmp_path: Path) -> None:
    items, clicks = tables(tmp_path)
    datasets.DatasetDict({"items": items, "clicks": clicks}).save_to_disk(str(tmp_path / "shop"))
    raw = load(tmp_path, tmp_path / "cache", name="my shop", note="made up")
    check(raw)
    assert raw.catalog.has_image.tolist() == [True, False, True]
    assert raw.catalog.image_bytes(0) == png("red")
    assert raw.catalog.image_bytes(2) == png("blue")
    picture = raw.catalog.image(0)
    assert picture is not None
    assert picture.getpixel((0, 0)) == (255, 0, 0)
    assert raw.catalog.dataset["image_path"][:] == [None, None, None]  # saving put the file's bytes in
    assert (raw.name, raw.note) == ("my shop", "made up")
    assert (
        "1 can't be read, such as 'ask'" in {step.name: step.detail for step in raw.steps}["unreadable price"]
    )


def test_local_files_of_two_kinds(tmp_path: Path) -> None:
    items, clicks = tables(tmp_path)
    items.to_parquet(tmp_path / "items.parquet")
    clicks.to_json(tmp_path / "clicks.jsonl")
    changes = {
        "items": {"path": "items.parquet"},
        "interactions": {"path": "clicks.jsonl"},
        "time_unit": "ms",
    }
    raw = load(tmp_path, tmp_path / "cache", **changes)
    check(raw)
    assert raw.catalog.image_bytes(0) == png("red")
    assert (tmp_path / "cache" / "huggingface").is_dir()


def test_a_folder_of_files_and_file_names_as_pictures(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("item_id,title,image\n1,Shoe,a.png\n2,Hat,\n")
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\n1,2,100\n")
    (tmp_path / "pictures").mkdir()
    raw = load(
        None,
        tmp_path / "cache",
        items={"path": str(tmp_path / "data")},
        interactions={"path": str(tmp_path / "clicks.csv")},
        item_columns={},
        interaction_columns={},
        images=str(tmp_path / "pictures"),
    )
    assert raw.catalog.dataset["image_path"][:] == [str(tmp_path / "pictures" / "a.png"), None]
    assert raw.interactions.frame.rows() == [("1", "2", 100.0)]


def test_an_image_folder_keeps_paths(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.png").write_bytes(png("red"))
    (tmp_path / "shop" / "metadata.csv").write_text("file_name,item_id,title\na.png,1,Shoe\n")
    (tmp_path / "clicks.csv").write_text("user_id,item_id,timestamp\n1,1,100\n")
    changes = {"items": {"path": "shop"}, "interactions": {"path": "clicks.csv"}}
    raw = load(tmp_path, tmp_path / "cache", **changes, item_columns={}, interaction_columns={})
    assert raw.catalog.dataset["image_path"][:] == [str(tmp_path / "shop" / "a.png")]
    assert raw.catalog.image_bytes(0) == png("red")
    assert raw.catalog.dataset["title"][:] == ["Shoe"]


def test_what_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    items, clicks = tables(tmp_path)
    datasets.DatasetDict({"items": items, "clicks": clicks}).save_to_disk(str(tmp_path / "shop"))
    cache = tmp_path / "cache"
    with pytest.raises(
        SourceError, match=r"shop has several splits; .*items, clicks.*interactions\.split=NAME"
    ):
        load(tmp_path, cache, interactions={"path": "shop"})
    with pytest.raises(SourceError, match=r"no split 'click'; did you mean 'clicks'"):
        load(tmp_path, cache, interactions={"path": "shop", "split": "click"})
    with pytest.raises(
        SourceError, match=r"no column 'time'; .*Set data\.source\.interaction_columns\.timestamp"
    ):
        load(tmp_path, cache, interaction_columns=MAPPING["interaction_columns"] | {"timestamp": "time"})
    with pytest.raises(SourceError, match=r"no column 'titel'; did you mean 'title'"):
        load(tmp_path, cache, item_columns=MAPPING["item_columns"] | {"title": "titel"})
    with pytest.raises(SourceError, match=r"absent does not exist, and the hub gave nothing for 'absent'"):
        load(tmp_path, cache, items={"path": "absent"})
    (tmp_path / "items.xlsx").write_bytes(b"")
    with pytest.raises(SourceError, match=r"items\.xlsx can't be read .*must end in one of \.parquet"):
        load(tmp_path, cache, items={"path": "items.xlsx"})
    (tmp_path / "broken.parquet").write_text("not parquet")
    with pytest.raises(SourceError, match=r"broken\.parquet can't be read"):
        load(tmp_path, cache, items={"path": "broken.parquet"})


def written(root: Path, items: str, clicks: str) -> RawData:
    (root / "items.csv").write_text(items)
    (root / "clicks.csv").write_text(clicks)
    paths = {"items": {"path": "items.csv"}, "interactions": {"path": "clicks.csv"}}
    columns = {"item_columns": {"id": "id"}, "interaction_columns": {"user": "who", "item": "id"}}
    return load(root, root / "cache", **paths, **columns)


def test_ids_in_csv_stay_as_they_are_written(tmp_path: Path) -> None:
    raw = written(tmp_path, "id\n007\n7\n", "who,id,timestamp\n01,007,1\n1,7,2\n,7,3\n1,,4\n")
    assert list(raw.catalog.item_ids) == ["007", "7"]
    assert raw.interactions.frame["user_id"].to_list() == ["01", "1", None, "1"]
    assert raw.interactions.frame["item_id"].to_list() == ["007", "7", "7", None]


def test_whole_numbers_that_a_missing_id_made_fractions_are_ids_again(tmp_path: Path) -> None:
    items = datasets.Dataset.from_dict({"id": [7, 8]})
    clicks = datasets.Dataset.from_dict({"who": [1.0, None], "id": [7.0, 8.0], "timestamp": [1, 2]})
    datasets.DatasetDict({"items": items, "clicks": clicks}).save_to_disk(str(tmp_path / "shop"))
    columns = {"item_columns": {"id": "id"}, "interaction_columns": {"user": "who", "item": "id"}}
    raw = load(tmp_path, tmp_path / "cache", **columns)
    assert raw.interactions.frame["user_id"].to_list() == ["1", None]
    assert raw.interactions.frame["item_id"].to_list() == ["7", "8"]


def test_titles_may_be_lists_and_nested_prices_are_named(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"id": "a", "title": ["Red", "hat"], "price": [3]}\n')
    (tmp_path / "clicks.csv").write_text("who,id,timestamp\nu,a,1\n")
    paths = {"items": {"path": "items.jsonl"}, "interactions": {"path": "clicks.csv"}}
    clicks = {"interaction_columns": {"user": "who", "item": "id"}}
    with pytest.raises(SourceError, match="column 'price' holds List"):
        load(tmp_path, tmp_path / "cache", item_columns={"id": "id"}, **paths, **clicks)
    (tmp_path / "items.jsonl").write_text('{"id": "a", "title": ["Red", "hat"]}\n')
    raw = load(tmp_path, tmp_path / "cache", item_columns={"id": "id"}, **paths, **clicks)
    assert raw.catalog.dataset["title"][:] == ["Red hat"]


def test_what_lies_behind_a_failed_reading_is_told(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes("id\ncaf\u00e9\n".encode("latin-1"))
    path = {"path": "items.csv"}
    with pytest.raises(SourceError, match=r"items\.csv is not in UTF-8 \(line 2\); it may be cp1252"):
        load(tmp_path, tmp_path / "cache", items=path, interactions=path)
