"""Amazon Reviews 2023: JSON lines plain and gzipped, the hub's Parquet, broken lines, pictures by address."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossrec.config import validate
from crossrec.data.cleaning import CleaningConfig, clean
from crossrec.data.sources import lines as text_lines
from crossrec.data.sources.amazon import AmazonReviews2023Source
from crossrec.data.sources.base import RawData
from crossrec.data.sources.reading import SourceError


def review(user: str, item: str, time: Any, rating: float = 5.0, verified: bool = True) -> dict[str, Any]:
    return {
        "rating": rating,
        "title": "Nice",
        "text": "Works.<br />As described",
        "images": [{"small_image_url": "https://x/s.jpg", "attachment_type": "IMAGE"}],
        "asin": f"{item}-red",
        "parent_asin": item,
        "user_id": user,
        "timestamp": time,
        "helpful_vote": 0,
        "verified_purchase": verified,
    }


def picture(name: str) -> dict[str, Any]:
    address = f"https://x/{name}"
    return {"thumb": f"{address}_t.jpg", "large": f"{address}.jpg", "variant": "MAIN", "hi_res": None}


def item(parent_asin: str, **changes: Any) -> dict[str, Any]:
    return {
        "main_category": "All Beauty",
        "title": f"Item {parent_asin}",
        "average_rating": 4.2,
        "rating_number": 15,
        "features": ["Soft", "Vegan &amp; free of <b>scent</b>"],
        "description": [],
        "price": None,
        "images": [],
        "videos": [],
        "store": "Shop",
        "categories": ["Beauty & Personal Care", "Skin Care"],
        "details": {"Brand": "Shop"},
        "parent_asin": parent_asin,
        "bought_together": None,
    } | changes


REVIEWS = [
    review("AE1", "B001", 1588687728923),
    review("AE1", "B002", 1588687729000, rating=1.0),
    review("AE1", "B001", 1588687728923),  # the same review again
    review("AE2", "B002", "not a time", verified=False),
    review("AE2", "B003", 1588687730000),
    review("AE2", "GONE", 1588687731000),  # no metadata
]
ITEMS = [
    item("B001", price=12.5, images=[picture("one"), picture("two")]),
    item("B002", price="$1,299.00", description=["5 < 7 > 3", "<p>Long</p>"], title="<i>Cream</i>"),
    item("B003", price="from 5.99", categories=[], features=[], title=None),
    item("B001", title="again"),
    item("B999", price="—"),
]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(root: Path, suffix: str = ".jsonl") -> None:
    for name, rows in (("All_Beauty", REVIEWS), ("meta_All_Beauty", ITEMS)):
        data = lines(rows)
        (root / (name + suffix)).write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)


def load(root: Path, **changes: Any) -> RawData:
    return validate(AmazonReviews2023Source.Options, changes, "test").build(root, Path("unused")).load()


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_the_lab_s_files(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 1)  # a block a line
    write(tmp_path, suffix)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "B002.jpg").write_bytes(b"picture")
    raw = load(tmp_path)
    assert raw.name == "amazon_reviews_2023 (All_Beauty)"
    assert raw.note == "1 items twice in the metadata (the first counts)"
    unreadable = {step.name: step.detail for step in raw.steps}
    assert unreadable["unreadable price"] == "1 can't be read, such as 'from 5.99': set to none"
    assert unreadable["unreadable time"] == "1 can't be read, such as 'not a time': set to none"
    rows = raw.catalog.dataset
    assert rows["item_id"][:] == ["B001", "B002", "B003"]
    assert rows["title"][:] == ["Item B001", "Cream", None]
    assert rows["text"][:] == [
        "Item B001 Soft Vegan & free of scent",
        "Cream Soft Vegan & free of scent 5 < 7 > 3 Long",
        None,
    ]
    assert rows["price"][:] == [12.5, 1299.0, None]
    assert rows["categories"][:] == [["Beauty & Personal Care", "Skin Care"]] * 2 + [None]
    assert rows["image_path"][:] == [None, str(tmp_path / "images" / "B002.jpg"), None]
    assert rows["image_url"][:] == ["https://x/one.jpg", None, None]
    assert rows["store"][:] == ["Shop"] * 3
    log = raw.interactions.frame
    assert log["timestamp"].to_list()[:2] == [1588687728.923, 1588687729.0]
    assert log["timestamp"].null_count() == 1
    assert log["rating"].to_list()[:2] == [5.0, 1.0]


def test_cleaning_counts_what_is_broken(tmp_path: Path) -> None:
    write(tmp_path)
    _, clicks, account = clean(load(tmp_path), CleaningConfig())
    dropped = {step.name: step.dropped for step in account.steps}
    assert (dropped["missing time"], dropped["unknown item"], dropped["exact duplicate"]) == (1, 1, 1)
    assert len(clicks.sequences.items) == 3


def test_choices(tmp_path: Path) -> None:
    write(tmp_path)
    raw = load(tmp_path, items="all", verified_only=True, text=["store", "title"], max_characters=9)
    assert list(raw.catalog.item_ids) == ["B001", "B002", "B003", "B999"]
    assert raw.catalog.dataset["text"][:] == ["Shop Item", "Shop Crea", "Shop", "Shop Item"]
    assert len(raw.interactions) == 5
    assert raw.note.startswith("1 reviews without a verified purchase left out")


def test_a_copy_of_the_hub_s_repository(tmp_path: Path) -> None:
    (tmp_path / "raw" / "review_categories").mkdir(parents=True)
    (tmp_path / "raw" / "review_categories" / "All_Beauty.jsonl").write_bytes(lines(REVIEWS))
    (tmp_path / "raw_meta_All_Beauty").mkdir()
    sizes = ("hi_res", "large", "thumb", "variant")
    rows = [
        item(**row | {"price": str(row["price"]), "details": "{}"})
        | {"images": {size: [p[size] for p in row["images"]] for size in sizes}}
        for row in ITEMS
    ]
    table = (
        pa.Table.from_pylist(rows[:2]),
        pa.Table.from_pylist(rows[2:], schema=pa.Table.from_pylist(rows).schema),
    )
    for number, part in enumerate(table):
        pq.write_table(part, tmp_path / "raw_meta_All_Beauty" / f"full-0000{number}-of-00002.parquet")
    rows_read = load(tmp_path).catalog.dataset
    assert rows_read["item_id"][:] == ["B001", "B002", "B003"]
    assert rows_read["price"][:] == [12.5, 1299.0, None]
    assert rows_read["image_url"][:] == ["https://x/one.jpg", None, None]


def test_metadata_written_back_from_the_hub_as_json(tmp_path: Path) -> None:
    write(tmp_path)
    listed = [row | {"images": {"large": [p["large"] for p in row["images"]]}} for row in ITEMS]
    (tmp_path / "meta_All_Beauty.jsonl").write_bytes(lines(listed))
    assert load(tmp_path).catalog.dataset["image_url"][:] == ["https://x/one.jpg", None, None]


@pytest.mark.parametrize(
    ("name", "broken", "message"),
    [
        (
            "All_Beauty",
            b'{"user_id": "AE9", "pare\n',
            r"All_Beauty\.jsonl, line 7: .*Fix or remove the line",
        ),
        ("All_Beauty", b"[1, 2]\n", r"All_Beauty\.jsonl, line 7: .*JSON object"),
        ("meta_All_Beauty", b'{"parent_asin": "X", "features": "none"}\n', r"meta_All_Beauty\.jsonl, line 6"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, broken: bytes, message: str) -> None:
    write(tmp_path)
    path = tmp_path / f"{name}.jsonl"
    path.write_bytes(path.read_bytes() + broken)
    with pytest.raises(SourceError, match=message):
        load(tmp_path)


def test_files_that_are_not_the_lab_s_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"holds no meta_<Category>\.jsonl; set data\.source\.category=NAME"
    ):
        load(tmp_path)
    write(tmp_path)
    with pytest.raises(SourceError, match=r"no Al_Beauty\.jsonl.*did you mean 'All_Beauty\.jsonl'"):
        load(tmp_path, category="Al_Beauty")
    (tmp_path / "meta_Books.jsonl").write_bytes(lines(ITEMS))
    with pytest.raises(SourceError, match="several: All_Beauty, Books"):
        load(tmp_path)
    old = {"reviewerID": "A", "asin": "B", "unixReviewTime": 1}
    (tmp_path / "All_Beauty.jsonl").write_bytes(lines([old]))
    with pytest.raises(SourceError, match=r"first line: no field 'user_id'; .*It has: reviewerID, asin"):
        load(tmp_path, category="All_Beauty")
    (tmp_path / "All_Beauty.jsonl").write_bytes(b"")
    with pytest.raises(SourceError, match=r"All_Beauty\.jsonl is empty"):
        load(tmp_path, category="All_Beauty")


def test_a_download_that_broke_off_is_named(tmp_path: Path) -> None:
    write(tmp_path, ".jsonl.gz")
    path = tmp_path / "All_Beauty.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"All_Beauty\.jsonl\.gz .*(breaks off|unpacked).*fetch it again"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    write(tmp_path)
    plain = load(tmp_path).interactions.frame
    for path in tmp_path.glob("*.jsonl"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(tmp_path).interactions.frame.equals(plain)


def test_parquet_files_without_a_review_or_broken_are_named(tmp_path: Path) -> None:
    path = tmp_path / "raw_review_All_Beauty" / "full-0.parquet"
    path.parent.mkdir()
    (tmp_path / "meta_All_Beauty.jsonl").write_bytes(lines(ITEMS))
    pl.DataFrame(REVIEWS, strict=False).clear().write_parquet(path)
    with pytest.raises(SourceError, match=r"full-0\.parquet holds no review"):
        load(tmp_path)
    path.write_bytes(b"not parquet")
    with pytest.raises(SourceError, match=r"full-0\.parquet can't be read"):
        load(tmp_path)


def test_verified_reviews_alone_need_the_field_that_says_so(tmp_path: Path) -> None:
    write(tmp_path)
    unsaid = [{key: value for key, value in row.items() if key != "verified_purchase"} for row in REVIEWS]
    (tmp_path / "All_Beauty.jsonl").write_bytes(lines(unsaid))
    assert len(load(tmp_path).interactions.frame) == len(REVIEWS)
    with pytest.raises(SourceError, match="no field 'verified_purchase'"):
        load(tmp_path, verified_only=True)
