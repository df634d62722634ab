"""The table source: column mapping, CSV and Parquet alike, times in every form, clear faults."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crossrec.config import validate
from crossrec.data.sources.base import RawData
from crossrec.data.sources.reading import SourceError
from crossrec.data.sources.table import TableSource
from crossrec.data.sources.values import seconds

ITEMS = {
    "sku": ["007", "8", "9"],
    "name": ["Red shoe", None, "Hat"],
    "blurb": ["For walking", "Warm", "  "],
    "photo": ["a.jpg", None, "c.jpg"],
    "tags": ["shoes; red", None, ";"],
    "cost": [9.5, None, 3.0],
    "stock": [4, 5, None],
}
CLICKS = {
    "who": ["01", "01", "x"],
    "what": ["007", "9", "8"],
    "when": [100.5, 200.0, 300.0],
    "stars": [4.0, None, 2.0],
    "kind": ["click", "purchase", "click"],
}
MAPPING: dict[str, Any] = {
    "item_columns": {
        "id": "sku", "title": "name", "text": ["name", "blurb"], "image": "photo", "categories": "tags",
        "price": "cost",
    },
    "interaction_columns": {
        "user": "who", "item": "what", "timestamp": "when", "rating": "stars", "event": "kind",
    },
    "category_separator": ";",
    "text_separator": ". ",
    "images": "photos",
}  # fmt: skip


def write(root: Path, suffix: str) -> None:
    (root / "photos").mkdir(exist_ok=True)
    for name, content in (("items", ITEMS), ("clicks", CLICKS)):
        frame = pl.DataFrame(content)
        path = root / f"{name}.{suffix}"
        if suffix == "parquet":
            frame.write_parquet(path)
            continue
        text = frame.write_csv() if suffix.startswith("csv") else frame.write_ndjson()
        path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())


def load(root: Path, suffix: str = "csv", **changes: Any) -> RawData:
    content = MAPPING | {"items": f"items.{suffix}", "interactions": f"clicks.{suffix}"} | changes
    return validate(TableSource.Options, content, "test").build(root, Path("unused")).load()


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "csv.gz", "jsonl.gz"])
def test_all_forms_give_the_same(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, suffix)
    raw = load(tmp_path, suffix, name="shop", note="a test")
    rows = raw.catalog.dataset
    assert list(raw.catalog.item_ids) == ["007", "8", "9"]
    assert rows["title"][:] == ["Red shoe", None, "Hat"]
    assert rows["text"][:] == ["Red shoe. For walking", "Warm", "Hat"]
    assert rows["image_path"][:] == [str(tmp_path / "photos/a.jpg"), None, str(tmp_path / "photos/c.jpg")]
    assert rows["categories"][:] == [["shoes", "red"], None, None]
    assert rows["price"][:] == [9.5, None, 3.0]
    assert rows["stock"][:] == [4, 5, None]
    log = raw.interactions.frame
    assert log["user_id"].to_list() == ["01", "01", "x"]
    assert log["item_id"].to_list() == ["007", "9", "8"]
    assert log["timestamp"].to_list() == [100.5, 200.0, 300.0]
    assert log["rating"].to_list() == [4.0, None, 2.0]
    assert log["event"].to_list() == ["click", "purchase", "click"]
    assert (raw.name, raw.note) == ("shop", "a test")


def test_whole_numbers_that_parquet_holds_as_fractions_are_ids_again(tmp_path: Path) -> None:
    pl.DataFrame({"item_id": [7.0, 8.0], "title": ["a", "b"]}).write_parquet(tmp_path / "items.parquet")
    log = pl.DataFrame({"user_id": [1.0, 1.0], "item_id": [7, 8], "timestamp": [0, 1]})
    log.write_parquet(tmp_path / "interactions.parquet")
    raw = (
        TableSource.Options(items="items.parquet", interactions="interactions.parquet")
        .build(tmp_path, Path("unused"))
        .load()
    )
    assert list(raw.catalog.item_ids) == ["7", "8"]
    assert raw.interactions.frame["user_id"].to_list() == ["1", "1"]


def test_standard_names_need_no_mapping(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title,categories,text,image\n1,,a|b,,\n2,T,,words,p.jpg\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n1,1,0\n1,2,1\n")
    raw = TableSource.Options().build(tmp_path, Path("unused")).load()
    assert raw.catalog.dataset["categories"][:] == [["a", "b"], None]
    assert raw.catalog.dataset["image_path"][:] == [None, str(tmp_path / "p.jpg")]
    assert raw.catalog.has_text.tolist() == [False, True]
    assert "rating" not in raw.interactions.frame.columns
    assert raw.name == tmp_path.name


def test_pictures_are_found_by_item_id(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    for name in ("007.png", "007.JPG", "9.webp", "8.txt"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    columns = MAPPING["item_columns"] | {"image": None}
    raw = load(tmp_path, item_columns=columns)
    paths = raw.catalog.dataset["image_path"][:]
    assert paths == [str(tmp_path / "photos/007.JPG"), None, str(tmp_path / "photos/9.webp")]


def test_parquet_may_embed_pictures_and_list_categories(tmp_path: Path) -> None:
    write(tmp_path, "parquet")
    frame = pl.DataFrame(ITEMS | {"photo": [b"one", None, b"three"], "tags": [["a", "b"], None, ["c"]]})
    frame.write_parquet(tmp_path / "items.parquet")
    raw = load(tmp_path, "parquet")
    assert [raw.catalog.image_bytes(row) for row in range(3)] == [b"one", None, b"three"]
    assert raw.catalog.dataset["categories"][:] == [["a", "b"], None, ["c"]]


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([1500, None], "ms", [1.5, None]),
        (["2500000", " 1e6 "], "us", [2.5, 1.0]),
        (["1970-01-02", "1970-01-02T00:00:01", "1970-01-02 00:01", "bad"], "s", [86400, 86401, 86460, None]),
        (["1970-01-01T01:00:00.5+01:00", "1970-01-01 00:00:02Z", "7"], "s", [0.5, 2.0, 7.0]),
        ([date(1970, 1, 2), None], "s", [86400.0, None]),
        ([datetime(1970, 1, 1, 0, 0, 3, 250000)], "ms", [3.25]),
        ([datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)], "s", [3.0]),
    ],
)
def test_times_in_every_form(values: list[Any], unit: str, expected: list[float | None]) -> None:
    assert seconds(pl.Series("t", values), unit, "f", "key").values.to_list() == expected


def test_missing_times_pass_to_cleaning_and_text_times_must_be_readable() -> None:
    column = pl.Series("t", ["nan", "1"])
    assert seconds(column, "s", "f", "key").values.to_list() == [None, 1.0]
    with pytest.raises(SourceError, match=r"log\.csv: no value of column 't'.*'03/04/2020'.*set key=COLUMN"):
        seconds(pl.Series("t", ["03/04/2020", None]), "s", "log.csv", "key")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("table", "key", "wrong", "file", "hint"),
    [
        ("item_columns", "title", "nam", "items", "did you mean 'name'"),
        ("item_columns", "text", ["name", "blurp"], "items", "did you mean 'blurb'"),
        ("item_columns", "id", "SKU", "items", "did you mean 'sku'"),
        ("interaction_columns", "timestamp", "wen", "clicks", "did you mean 'when'"),
        ("interaction_columns", "user", "zzz", "clicks", "It has: who, what, when"),
    ],
)
def test_a_missing_column_names_file_column_neighbour_and_key(
    tmp_path: Path, suffix: str, table: str, key: str, wrong: Any, file: str, hint: str
) -> None:
    write(tmp_path, suffix)
    with pytest.raises(SourceError) as caught:
        load(tmp_path, suffix, **{table: MAPPING[table] | {key: wrong}})
    message = str(caught.value)
    name = wrong[-1] if isinstance(wrong, list) else wrong
    assert f"{file}.{suffix} has no column '{name}'" in message
    assert hint in message
    assert f"Set data.source.{table}.{key}=COLUMN" in message


@pytest.mark.parametrize(
    ("header", "called"),
    [
        ("who,what,when,who", "2 columns called 'who', in the places 1, 4 of its header"),
        ('\ufeff"what",who,when,what,"what"\r', "3 columns called 'what', in the places 1, 4, 5 of"),
        ("\n\nwhen,who,who_duplicated_0,who", "2 columns called 'who', in the places 2, 4"),
    ],
)
def test_two_columns_of_one_name_are_refused(tmp_path: Path, header: str, called: str) -> None:
    write(tmp_path, "csv")
    (tmp_path / "clicks.csv").write_text(f"{header}\n007,8,100,9,1\n")
    with pytest.raises(SourceError, match=rf"clicks\.csv has {called}.*: rename all but one"):
        load(tmp_path)


def test_columns_without_a_name_are_no_twins(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    (tmp_path / "clicks.csv").write_text("who;what;when;;\n01;007;100;;\n01;8;200;;\n")
    (tmp_path / "items.csv").write_text(
        (tmp_path / "items.csv").read_text().replace(";", "+").replace(",", ";")
    )
    log = load(
        tmp_path, delimiter=";", interaction_columns={"user": "who", "item": "what", "timestamp": "when"}
    )
    assert log.interactions.frame["item_id"].to_list() == ["007", "8"]


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    with pytest.raises(SourceError, match=r"does not exist: set data\.root=FOLDER"):
        load(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"item\.csv does not exist; did you mean 'items\.csv'"):
        load(tmp_path, items="item.csv")
    with pytest.raises(SourceError, match=r"Set data\.source\.interactions=FILE"):
        load(tmp_path, interactions="gone.csv")
    with pytest.raises(SourceError, match=r"image folder .*pics does not exist: set data\.source\.images"):
        load(tmp_path, images="pics")
    (tmp_path / "items.xlsx").write_bytes(b"")
    with pytest.raises(SourceError, match=r"must end in one of \.csv"):
        load(tmp_path, items="items.xlsx")
    (tmp_path / "none.csv").write_text("")
    with pytest.raises(SourceError, match=r"none\.csv is empty"):
        load(tmp_path, items="none.csv")
    (tmp_path / "fake.parquet").write_text("not parquet")
    with pytest.raises(SourceError, match=r"fake\.parquet can't be read"):
        load(tmp_path, items="fake.parquet")


def test_addresses_of_pictures_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "csv")
    pl.DataFrame(ITEMS | {"photo": [None, "https://x/y.jpg", None]}).write_csv(tmp_path / "items.csv")
    with pytest.raises(SourceError, match=r"row 1 of items\.csv names a picture by its address"):
        load(tmp_path)


def packed(content: bytes) -> bytes:
    """Without the time, which would make the test's name another one for every process."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("items.jsonl", b'{"sku": "1"}\nno\n', r"items\.jsonl, line 2: not JSON"),
        ("items.jsonl", b" \n", "items.jsonl is empty"),
        ("items.jsonl.gz", packed(b'{"sku": "1"}')[:-9], r"items\.jsonl\.gz can't be unpacked"),
        ("items.csv.gz", packed(b"sku,name\n1,2\n")[:-9], r"items\.csv\.gz can't be unpacked"),
        ("items.csv.gz", packed(b"sku,name\n1,2,3\n"), r"items\.csv\.gz, line 2: 3 fields"),
        ("items.csv.gz", packed(b'sku,name\n1,"a" b\n'), r"items\.csv\.gz, line 2: "),
        ("items.parquet.gz", b"", "must end in one of"),
    ],
)
def test_faults_of_packed_files_and_json_lines(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    write(tmp_path, "csv")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        load(tmp_path, items=name, item_columns={"id": "sku"})
