"""MicroLens layouts: pairs as CSV and as sequences, titles with and without a header, covers, counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossrec.config import validate
from crossrec.data.sources.base import RawData
from crossrec.data.sources.microlens import MicroLensSource
from crossrec.data.sources.reading import SourceError

PAIRS = "user,item,timestamp\n1,7,1583378629552\n1,9,1583378630000\n2,7,bad\n2,12,1583378631000\n"
SEQUENCES = "1\t7 9\n2\t7 12 9\n"
TITLES = '7,Cats, dogs and "friends"\n9,"Say ""hello"", twice"\n7,again\n10,A title\nthat goes on\n'


def load(root: Path, **changes: Any) -> RawData:
    return validate(MicroLensSource.Options, changes, "test").build(root, Path("unused")).load()


def write(root: Path, pairs: str = PAIRS, titles: str = TITLES) -> None:
    (root / "MicroLens-100k_pairs.csv").write_text(pairs)
    (root / "MicroLens-100k_title_en.csv").write_text("\ufeff" + titles, encoding="utf-8")


def test_100k_with_everything(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "MicroLens-100k_pairs.tsv").write_text(SEQUENCES)
    (tmp_path / "MicroLens-100k_covers").mkdir()
    (tmp_path / "MicroLens-100k_covers" / "9.jpg").write_bytes(b"cover")
    (tmp_path / "tags_to_summary.csv").write_text("7,Pets\n9,\n")
    (tmp_path / "MicroLens-100k_comment_en.txt").write_text("1\t7\tsecretword\t1583378629552\n")
    raw = load(tmp_path)
    rows = raw.catalog.dataset
    assert rows["item_id"][:] == ["7", "9", "10", "12"]  # 12 is clicked, but has no title
    assert rows["title"][:] == [
        'Cats, dogs and "friends"',
        'Say "hello", twice',
        "A title that goes on",
        None,
    ]
    assert rows["text"][:] == rows["title"][:]
    assert rows["categories"][:] == [["Pets"], None, None, None]
    assert raw.catalog.names_image.tolist() == [False, True, False, False]
    assert "likes" not in rows.column_names
    log = raw.interactions.frame
    assert log["user_id"].to_list() == ["1", "1", "2", "2"]
    assert log["timestamp"].to_list() == [1583378629.552, 1583378630.0, None, 1583378631.0]
    assert raw.note == "1 titles of a video that has one already (the first counts)"
    assert "secretword" not in str(rows[:])


def test_50k_has_headers_and_likes_are_kept_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "MicroLens-50k_pairs.csv").write_text(PAIRS)
    (tmp_path / "MicroLens-50k_titles.csv").write_text("item,title\n7,Cats\n12,Hats\n")
    (tmp_path / "MicroLens-50k_likes_and_views.txt").write_text("7\t10000\t44000\n99\t1\t2\n")
    rows = load(tmp_path, likes_and_views=True).catalog.dataset
    assert rows["title"][:] == ["Cats", "Hats", None]
    assert rows["likes"][:] == [10000, None, None]
    assert rows["views"][:] == [44000, None, None]


def test_sequences_have_an_order_but_no_times(tmp_path: Path) -> None:
    (tmp_path / "MicroLens-50k_pairs.tsv").write_text(SEQUENCES)
    raw = load(tmp_path)
    log = raw.interactions.frame
    assert log.rows() == [
        ("1", "7", 0.0),
        ("1", "9", 1.0),
        ("2", "7", 0.0),
        ("2", "12", 1.0),
        ("2", "9", 2.0),
    ]
    assert "leave_one_out" in raw.note
    assert list(raw.catalog.item_ids) == ["7", "9", "12"]
    assert not raw.catalog.has_text.any()


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"neither \*_pairs\.csv nor \*_pairs\.tsv; it holds nothing"):
        load(tmp_path)
    write(tmp_path, pairs="user,video,timestamp\n1,2,3\n")
    with pytest.raises(SourceError, match=r"no column 'item'.*It has: user, video, timestamp"):
        load(tmp_path)
    write(tmp_path, titles="item,title\nnonsense\n7,Cats\n")
    with pytest.raises(SourceError, match=r"title_en\.csv, line 2: must be a video's number"):
        load(tmp_path)
    write(tmp_path)
    with pytest.raises(SourceError, match=r"set data\.source\.likes_and_views=false"):
        load(tmp_path, likes_and_views=True)
    (tmp_path / "MicroLens-100k_likes_and_views.txt").write_text("7\t1\t2\n9\tmany\t3\n")
    with pytest.raises(SourceError, match=r"likes_and_views\.txt, line 2"):
        load(tmp_path, likes_and_views=True)
    with pytest.raises(SourceError, match=r"did you mean 'MicroLens-100k_title_en\.csv'"):
        load(tmp_path, titles="MicroLens-100k_titles_en.csv")
    with pytest.raises(SourceError, match=r"is no folder; .*Set data\.source\.covers=FOLDER"):
        load(tmp_path, covers="pictures")
    (tmp_path / "broken.tsv").write_text("1\t7 9\n2 7 12\n")
    with pytest.raises(
        SourceError, match=r"broken\.tsv, line 2: 1 fields, but there are to be 2 \(user_id, items\)"
    ):
        load(tmp_path, pairs="broken.tsv")


def test_blanks_between_videos_may_be_several(tmp_path: Path) -> None:
    (tmp_path / "MicroLens-50k_pairs.tsv").write_text("1\t7  9 \n")
    assert load(tmp_path).interactions.frame["item_id"].to_list() == ["7", "9"]


def test_titles_in_another_encoding_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "MicroLens-100k_title_en.csv").write_bytes("7,Caf\u00e9\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"title_en\.csv is not in UTF-8 .*data\.source\.encoding=cp1252"):
        load(tmp_path)
