"""GroupLens's MovieLens files: latest-small, 25m and 32m (CSV), 1m and 10m (``::``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from crossrec.config import ComponentOptions
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning_report import Step
from crossrec.data.interactions import Interactions
from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.lines import Lines
from crossrec.data.sources.reading import (
    Encoding,
    Faults,
    SourceError,
    guessed_encoding,
    pictures_in,
    require_root,
    suggest,
)
from crossrec.data.sources.table_file import TableFile
from crossrec.data.sources.values import identifiers, numbers, seconds

NO_GENRES = "(no genres listed)"

ARTICLES = (
    "The|An|A|Les|Le|La|L'|Los|Las|El|Il|Lo|Gli|I|Un|Une|Una|Der|Die|Das|Den|Det|De|Het|Een|En|Ett|O|Os|As"
)
"""Articles that GroupLens moves behind the title: "Matrix, The (1999)"."""

_MOVIES = ("movieId", "title", "genres")

_RATINGS = ("userId", "movieId", "rating", "timestamp")


class MovieLensSource(DataSource):
    """Films and ratings as GroupLens publishes them, recognised by the files in ``data.root``.

    Optional ``posters/<movieId>.jpg`` and ``overviews.csv`` (movieId, overview) are used where they
    are. Tags are never read: few users write them, so they give away whose history it is.
    """

    class Options(ComponentOptions):
        """Options of MovieLens.

        Args:
            min_rating: ratings below it are no clicks; what is left out is counted in the data's note.
            encoding: encoding of the files; by default UTF-8, or Latin-1 for other ``.dat`` files (1m).
        """

        min_rating: float | None = None
        encoding: Encoding | None = None

    options: Options

    def load(self) -> RawData:
        """Read the files.

        Raises:
            SourceError: if the root or a file in it is missing or has other columns.
        """
        options = self.options
        root = require_root(self.root, "movielens")
        faults = Faults()
        movies = ratings = None
        for suffix, read in ((".csv", _read_csv), (".dat", _read_dat)):
            if (root / f"ratings{suffix}").is_file() and (root / f"movies{suffix}").is_file():
                with faults.collected():
                    movies = read(root / f"movies{suffix}", _MOVIES, options.encoding)
                with faults.collected():
                    ratings = read(root / f"ratings{suffix}", _RATINGS, options.encoding)
                faults.report()
                break
        if movies is None or ratings is None:
            present = sorted(path.name for path in root.iterdir())[:20]
            raise SourceError(
                f"{root} holds neither ratings.csv and movies.csv (latest-small, 25m) nor ratings.dat and "
                f"movies.dat (1m); it holds {', '.join(present) or 'nothing'}. Set data.root=FOLDER"
            )
        where = f"the ratings in {root}"
        stars, times = numbers(ratings["rating"], "."), seconds(ratings["timestamp"], "s", where, "data.root")
        (user,) = identifiers(ratings["userId"], where=where)
        known, rated = identifiers(movies["movieId"], ratings["movieId"], where=str(root))
        log = pl.DataFrame(
            {"user_id": user, "item_id": rated, "timestamp": times.values, "rating": stars.values}
        )
        note = ""
        if options.min_rating is not None:
            kept = log.filter(pl.col("rating") >= options.min_rating)
            note = f"{log.height - kept.height:,} of {log.height:,} ratings are below {options.min_rating:g}"
            note += " and are no clicks"
            log = kept
        films = movies.with_columns(known.alias("movieId"))
        steps = (_on(times.step("time", "clicks"), log), _on(stars.step("rating", "clicks"), log))
        return RawData(
            f"movielens ({root.name})", note, _catalog(options, root, films), Interactions(log), steps=steps
        )


def _on(step: Step, log: pl.DataFrame) -> Step:
    """Return the step on the clicks that are left, so that the report adds up."""
    return replace(step, before=log.height)


def _catalog(options: MovieLensSource.Options, root: Path, movies: pl.DataFrame) -> Catalog:
    title = _reading_order(pl.col("title").str.strip_chars())
    genres = pl.when(pl.col("genres") != NO_GENRES).then(pl.col("genres").str.split("|"))
    overview = _overviews(options, root)
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
    ids = films["movieId"].to_list()
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
    """Move the article back to the front: "Matrix, The (1999)" becomes "The Matrix (1999)"."""
    main = title.str.replace(rf"^([^()]+), ({ARTICLES})( \(|$)", "${2} ${1}${3}")
    others = main.str.replace_all(rf"\(([^()]+), ({ARTICLES})\)", "(${2} ${1})")
    return others.str.replace_all(r"(^|\()L' ", "${1}L'")


def _overviews(options: MovieLensSource.Options, root: Path) -> pl.DataFrame:
    path = root / "overviews.csv"
    if not path.is_file():
        return pl.DataFrame(schema={"movieId": pl.String, "overview": pl.String})
    found = _read_csv(path, ("movieId", "overview"), options.encoding)
    found = found.with_columns(*identifiers(found["movieId"], where=str(path)))
    return found.unique("movieId", keep="first", maintain_order=True)


def _read_csv(path: Path, names: Sequence[str], encoding: str | None) -> pl.DataFrame:
    file = TableFile(path.parent, path.name, "data.root", ",", encoding or "utf-8")
    faults = Faults()
    for name in names:
        if name not in file.columns:
            faults.add(f"{path} has no column '{name}'; {suggest(name, file.columns)}. Set data.root=FOLDER")
    faults.report()
    return file.read(names)


def _read_dat(path: Path, names: Sequence[str], encoding: str | None) -> pl.DataFrame:
    if encoding is None:  # 1m is in Latin-1, 10m in UTF-8
        encoding = "latin-1" if guessed_encoding(path) in ("cp1252", "latin-1") else "utf-8"
    return Lines(path, encoding).fields("::", names, "data.root=FOLDER", whole=True)
