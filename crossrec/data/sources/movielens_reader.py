"""Reads MovieLens files into a catalogue and a log."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from crossrec.data.catalog import Catalog
from crossrec.data.csv_header import twin_columns
from crossrec.data.interactions import Interactions
from crossrec.data.sources.raw import RawData
from crossrec.data.sources.reading import SourceError, nearest, pictures_in, require_root

NO_GENRES = "(no genres listed)"
ARTICLES = (
    "The|An|A|Les|Le|La|L'|Los|Las|El|Il|Lo|Gli|I|Un|Une|Una|Der|Die|Das|Den|Det|De|Het|Een|En|Ett|O|Os|As"
)
"""Articles that GroupLens moves behind the title: "Matrix, The (1999)"."""

_MOVIES = {"movieId": pl.Int64, "title": pl.String, "genres": pl.String}
_RATINGS = {"userId": pl.Int64, "movieId": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}


def read_movielens(root: Path | None, min_rating: float | None) -> RawData:
    """Reads one MovieLens release; see :class:`~crossrec.data.sources.movielens.MovieLensConfig`."""
    root = require_root(root, "movielens")
    if (root / "ratings.csv").is_file() and (root / "movies.csv").is_file():
        movies, ratings = _read_csv(root / "movies.csv", _MOVIES), _read_csv(root / "ratings.csv", _RATINGS)
    elif (root / "ratings.dat").is_file() and (root / "movies.dat").is_file():
        movies, ratings = _read_dat(root / "movies.dat", _MOVIES), _read_dat(root / "ratings.dat", _RATINGS)
    else:
        present = sorted(path.name for path in root.iterdir())[:20]
        raise SourceError(
            f"{root} holds neither ratings.csv and movies.csv (latest-small, 25m) nor ratings.dat and "
            f"movies.dat (1m); it holds {', '.join(present) or 'nothing'}. Set data.root=FOLDER"
        )
    note = ""
    if min_rating is not None:
        kept = ratings.filter(pl.col("rating") >= min_rating)
        note = f"{ratings.height - kept.height:,} of {ratings.height:,} ratings are below {min_rating:g}"
        note += " and are no clicks"
        ratings = kept
    log = ratings.select(
        user_id=pl.col("userId").cast(pl.String),
        item_id=pl.col("movieId").cast(pl.String),
        timestamp=pl.col("timestamp").cast(pl.Float64),
        rating=pl.col("rating"),
    )
    return RawData(f"movielens ({root.name})", note, _catalog(root, movies), Interactions(log))


def _catalog(root: Path, movies: pl.DataFrame) -> Catalog:
    title = _reading_order(pl.col("title").str.strip_chars())
    genres = pl.when(pl.col("genres") != NO_GENRES).then(pl.col("genres").str.split("|"))
    overview = _overviews(root)
    films = movies.join(overview, on="movieId", how="left", maintain_order="left").select(
        "movieId", "overview", title=title, categories=genres
    )
    text = pl.concat_str(
        pl.concat_str(pl.col("title"), pl.lit(".")),
        pl.concat_str(pl.lit("Genres: "), pl.col("categories").list.join(", "), pl.lit(".")),
        pl.col("overview").str.strip_chars(),
        separator=" ",
        ignore_nulls=True,
    )
    columns = films.select("title", "categories", text=text).to_arrow(compat_level=pl.CompatLevel.oldest())
    ids = films["movieId"].cast(pl.String).to_list()
    posters = pictures_in(root / "posters") if (root / "posters").is_dir() else {}
    return Catalog.from_columns(
        {
            "item_id": ids,
            "title": columns["title"],
            "text": columns["text"],
            "categories": columns["categories"],
            "image_path": [posters.get(item_id) for item_id in ids],
        },
        (root / "posters",),
    )


def _reading_order(title: pl.Expr) -> pl.Expr:
    """Puts the article back in front: "Matrix, The (1999)" becomes "The Matrix (1999)"."""
    main = title.str.replace(rf"^([^()]+), ({ARTICLES})( \(|$)", "${2} ${1}${3}")
    others = main.str.replace_all(rf"\(([^()]+), ({ARTICLES})\)", "(${2} ${1})")
    return others.str.replace_all(r"(^|\()L' ", "${1}L'")


def _overviews(root: Path) -> pl.DataFrame:
    path = root / "overviews.csv"
    schema = {"movieId": pl.Int64, "overview": pl.String}
    if not path.is_file():
        return pl.DataFrame(schema=schema)
    found = _read_csv(path, schema)
    return found.unique("movieId", keep="first", maintain_order=True)


def _read_csv(path: Path, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    try:
        if twins := twin_columns(path):
            raise SourceError(twins)
        header = pl.read_csv(path, n_rows=0).columns
        for name in schema:
            if name not in header:
                raise SourceError(
                    f"{path} has no column '{name}'; {nearest(name, header)}. Set data.root=FOLDER"
                )
        return pl.read_csv(path, columns=list(schema), schema_overrides=dict(schema))
    except (pl.exceptions.PolarsError, csv.Error) as error:
        raise SourceError(f"{path} can't be read as a MovieLens file: {error}") from error


def _read_dat(path: Path, schema: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    data = path.read_bytes()
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("latin-1").encode("utf-8")  # 1m is latin-1, 10m is UTF-8
    try:
        return pl.read_csv(
            io.BytesIO(data.replace(b"::", b"\t")),
            separator="\t",
            has_header=False,
            new_columns=list(schema),
            schema_overrides=dict(schema),
            quote_char=None,
        )
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path} can't be read as a MovieLens file: {error}") from error
