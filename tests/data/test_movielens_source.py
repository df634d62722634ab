"""MovieLens layouts: CSV and ``::``, posters, overviews, and GroupLens's own files where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crossrec.data.sources.base import RawData
from crossrec.data.sources.movielens import MovieLensSource
from crossrec.data.sources.reading import SourceError

REAL = Path(os.environ.get("CROSSREC_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
MOVIES = [
    ("1", "Toy Story (1995)", "Adventure|Animation"),
    ("7", "Matrix, The (1999)", "Action"),
    ("9", "Cité des enfants perdus, La (City of Lost Children, The) (1995)", "(no genres listed)"),
    ("12", 'Say "Hello", Avventura, L\' (1960)', "Drama"),
]
RATINGS = [("5", "7", "4.5", "100"), ("5", "1", "3", "90"), ("6", "9", "2", "80")]


def load(root: Path, min_rating: float | None = None) -> RawData:
    return MovieLensSource.Options(min_rating=min_rating).build(root, Path("unused")).load()


def write_csv(root: Path) -> None:
    quoted = [(i, '"' + title.replace('"', '""') + '"', genres) for i, title, genres in MOVIES]
    lines = ["movieId,title,genres", *(",".join(row) for row in quoted)]
    (root / "movies.csv").write_text("\n".join(lines), encoding="utf-8")
    lines = ["userId,movieId,rating,timestamp", *(",".join(row) for row in RATINGS)]
    (root / "ratings.csv").write_text("\n".join(lines), encoding="utf-8")


def write_dat(root: Path, encoding: str) -> None:
    (root / "movies.dat").write_text("\n".join("::".join(row) for row in MOVIES), encoding=encoding)
    (root / "ratings.dat").write_text("\n".join("::".join(row) for row in RATINGS), encoding=encoding)


def check_items(raw: RawData) -> None:
    assert list(raw.catalog.item_ids) == ["1", "7", "9", "12"]
    assert raw.catalog.column("title").to_pylist() == [
        "Toy Story (1995)",
        "The Matrix (1999)",
        "La Cité des enfants perdus (The City of Lost Children) (1995)",
        'L\'Say "Hello", Avventura (1960)',
    ]
    assert raw.catalog.column("categories").to_pylist()[1:3] == [["Action"], None]
    log = raw.interactions.frame
    assert log["user_id"].to_list() == ["5", "5", "6"]
    assert log["item_id"].to_list() == ["7", "1", "9"]
    assert log["timestamp"].to_list() == [100.0, 90.0, 80.0]
    assert log["rating"].to_list() == [4.5, 3.0, 2.0]


def test_csv_layout_with_posters_and_overviews(tmp_path: Path) -> None:
    write_csv(tmp_path)
    (tmp_path / "posters").mkdir()
    (tmp_path / "posters" / "7.jpg").write_bytes(b"picture")
    (tmp_path / "posters" / "readme.txt").write_text("no picture")
    (tmp_path / "overviews.csv").write_text('movieId,overview\n7,"Neo, awake.\nAt last."\n99,Unknown film\n')
    (tmp_path / "tags.csv").write_text("userId,movieId,tag,timestamp\n5,7,secretword,1\n")
    raw = load(tmp_path)
    check_items(raw)
    assert raw.note == ""
    assert tmp_path.name in raw.name
    texts = raw.catalog.column("text").to_pylist()
    assert texts[0] == "Toy Story (1995). Genres: Adventure, Animation."
    assert texts[1] == "The Matrix (1999). Genres: Action. Neo, awake.\nAt last."
    assert texts[2] == "La Cité des enfants perdus (The City of Lost Children) (1995)."
    assert raw.catalog.names_image.tolist() == [False, True, False, False]
    assert raw.catalog.image_bytes(1) == b"picture"
    assert "secretword" not in str(raw.catalog.dataset[:])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_dat_layout(tmp_path: Path, encoding: str) -> None:
    write_dat(tmp_path, encoding)
    raw = load(tmp_path)
    check_items(raw)
    assert not raw.catalog.has_image.any()


def test_min_rating_is_counted_in_the_note(tmp_path: Path) -> None:
    write_csv(tmp_path)
    raw = load(tmp_path, min_rating=3)
    assert raw.interactions.frame["rating"].to_list() == [4.5, 3.0]
    assert raw.note == "1 of 3 ratings are below 3 and are no clicks"


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"set data\.root=FOLDER"):
        MovieLensSource.Options().build(None, Path("unused")).load()
    with pytest.raises(SourceError, match=r"nowhere.*does not exist: set data\.root=FOLDER"):
        load(tmp_path / "nowhere")
    (tmp_path / "ratings.dat").write_text("")
    with pytest.raises(SourceError, match=r"neither ratings.csv.*it holds ratings.dat"):
        load(tmp_path)
    with pytest.raises(SourceError, match="is a file, not a folder"):
        load(tmp_path / "ratings.dat")


def test_broken_files_are_named(tmp_path: Path) -> None:
    write_csv(tmp_path)
    good = (tmp_path / "ratings.csv").read_text()
    (tmp_path / "ratings.csv").write_text(good.replace("userId", "user"))
    with pytest.raises(SourceError, match=r"ratings\.csv has no column 'userId'; did you mean 'user'"):
        load(tmp_path)
    (tmp_path / "ratings.csv").write_text(good.replace("timestamp", "rating"))
    with pytest.raises(SourceError, match=r"ratings\.csv has 2 columns called 'rating'.*rename all but one"):
        load(tmp_path)
    (tmp_path / "ratings.csv").write_text(good.replace("4.5", "four"))
    raw = load(tmp_path)
    assert raw.interactions.frame["rating"].to_list() == [None, 3.0, 2.0]
    assert raw.steps[1].detail == "1 can't be read, such as 'four': set to none"
    (tmp_path / "ratings.csv").write_text(good.replace("4.5", '"4.5'))
    with pytest.raises(SourceError, match=r"ratings\.csv, line 2: a quotation mark is not closed"):
        load(tmp_path)


@pytest.mark.skipif(not (REAL / "ml-latest-small").is_dir(), reason="ml-latest-small is not at CROSSREC_DATA")
def test_latest_small() -> None:
    raw = load(REAL / "ml-latest-small")
    assert (len(raw.catalog), len(raw.interactions)) == (9742, 100836)
    assert raw.catalog.has_image.sum() == 9517
    assert raw.catalog.has_text.all()
    assert sum(row is None for row in raw.catalog.column("categories").to_pylist()) == 34
