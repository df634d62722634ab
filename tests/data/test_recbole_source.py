"""RecBole's atomic files: typed headers, configurable fields, broken lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossrec.config import validate
from crossrec.data.sources.base import RawData
from crossrec.data.sources.reading import SourceError
from crossrec.data.sources.recbole import RecBoleSource

INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "196\t242\t3\t881250949\n"
    '186\t0302\t"3\t891717742\n'
    "186\t1\t\tnan\n"
    "22\t377\n"
)
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tprice:float\n"
    "242\tToy \"Story\t1995\tAnimation Children's\t3.5\n"
    "0302\t\t1996\t'Action', 'Film_Noir'\tfree\n"
    "1\tHat\t\t\n"
)
FIELDS = {"title": "movie_title", "text": ["movie_title", "class"], "categories": "class"}


def load(root: Path, **changes: Any) -> RawData:
    return validate(RecBoleSource.Options, changes, "test").build(root, Path("unused")).load()


def write(root: Path, name: str = "ml") -> None:
    (root / f"{name}.inter").write_text(INTER)
    (root / f"{name}.item").write_text(ITEM)


def test_both_files(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "ml.user").write_text("user_id:token\tage:token\n196\t49\n")
    (tmp_path / "covers").mkdir()
    (tmp_path / "covers" / "0302.png").write_bytes(b"picture")
    raw = load(tmp_path, item_columns=FIELDS, images="covers")
    rows = raw.catalog.dataset
    assert rows["item_id"][:] == ["242", "0302", "1"]
    assert rows["title"][:] == ['Toy "Story', None, "Hat"]
    assert rows["text"][:] == ["Toy \"Story Animation Children's", "'Action', 'Film_Noir'", "Hat"]
    assert rows["categories"][:] == [["Animation", "Children's"], ["Action", "Film_Noir"], None]
    assert rows["price"][:] == [3.5, None, None]
    assert rows["release_year"][:] == ["1995", "1996", None]
    assert raw.catalog.names_image.tolist() == [False, True, False]
    log = raw.interactions.frame
    assert log["user_id"].to_list() == ["196", "186", "186", "22"]
    assert log["item_id"].to_list() == ["242", "0302", "1", "377"]
    assert log["rating"].to_list() == [3.0, None, None, None]
    assert log["timestamp"].to_list()[:2] == [881250949.0, 891717742.0]
    assert log["timestamp"][3] is None
    assert raw.name == "recbole (ml)"
    assert raw.note == "ml.user is not read: users are their histories"
    counted = {(step.name, step.unit): step.detail for step in raw.steps}
    assert counted["unreadable price", "items"] == "1 can't be read, such as 'free': set to none"
    assert counted["line with fewer fields", "clicks"].startswith("1, the first is line 5")


def test_separators_types_and_units(tmp_path: Path) -> None:
    (tmp_path / "yelp.inter").write_text("u:token,b:token,when:float\n1,A,2000\n")
    (tmp_path / "yelp.item").write_text("b:token,tags:token_seq,kind:token\nA,Food;Hot Coffee,Snack bar\n")
    changes = {
        "field_separator": ",",
        "seq_separator": ";",
        "time_unit": "ms",
        "interaction_columns": {"user": "u", "item": "b", "timestamp": "when"},
    }
    raw = load(tmp_path, item_columns={"id": "b", "categories": "tags"}, **changes)
    assert raw.catalog.dataset["categories"][:] == [["Food", "Hot Coffee"]]
    assert raw.interactions.frame["timestamp"].to_list() == [2.0]
    raw = load(tmp_path, item_columns={"id": "b", "categories": "kind"}, **changes)
    assert raw.catalog.dataset["categories"][:] == [["Snack bar"]]


def test_a_log_alone_and_a_header_without_types(tmp_path: Path) -> None:
    (tmp_path / "baby.inter").write_text("userID\titemID\ttimestamp\n0\t5\t100\n0\t3\t200\n")
    columns = {"user": "userID", "item": "itemID"}
    raw = load(tmp_path, interaction_columns=columns)
    assert list(raw.catalog.item_ids) == ["5", "3"]
    assert raw.note == "no baby.item: items are known by id alone"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \.inter file; set data\.source\.dataset=NAME"):
        load(tmp_path)
    write(tmp_path)
    with pytest.raises(SourceError, match=r"ml1\.inter does not exist; did you mean 'ml\.inter'"):
        load(tmp_path, dataset="ml1")
    with pytest.raises(SourceError, match=r"no field 'title'; .*'movie_title'.*item_columns\.title=FIELD"):
        load(tmp_path, item_columns={"title": "title"})
    with pytest.raises(SourceError, match=r"no field 'time'; .*'timestamp'.*interaction_columns\.timestamp"):
        load(tmp_path, interaction_columns={"timestamp": "time"})
    with pytest.raises(SourceError, match=r"image folder .*nowhere does not exist"):
        load(tmp_path, images="nowhere")
    (tmp_path / "ml.inter").write_text(INTER + "1\t2\t3\t4\t5\n")
    with pytest.raises(SourceError, match=r"ml\.inter, line 6: 5 fields, but the header names 4"):
        load(tmp_path)
    (tmp_path / "ml.inter").write_text(INTER.replace("item_id:token", "item_id:tokens"))
    with pytest.raises(SourceError, match=r"'item_id:tokens' is of no type of RecBole; did you mean 'token'"):
        load(tmp_path)
    (tmp_path / "ml.inter").write_text("")
    with pytest.raises(SourceError, match=r"ml\.inter is empty"):
        load(tmp_path)
    (tmp_path / "two.inter").write_text(INTER)
    with pytest.raises(SourceError, match="several logs: ml, two"):
        load(tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    write(tmp_path)
    (tmp_path / "ml.item").write_bytes(ITEM.replace("Hat", "Caf\u00e9").encode(encoding))
    with pytest.raises(SourceError, match=r"ml\.item is not in UTF-8"):
        load(tmp_path)
