"""MicroLens: clicks on micro-videos with titles and covers, as Westlake University publishes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.config import ComponentOptions
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning_report import Step
from crossrec.data.interactions import Interactions, is_missing
from crossrec.data.sources.base import DataSource, RawData
from crossrec.data.sources.lines import Lines
from crossrec.data.sources.reading import (
    Encoding,
    Faults,
    SourceError,
    nearest_file,
    pictures_in,
    require_root,
    suggest,
    text_lines,
)
from crossrec.data.sources.table_file import CSV_SUFFIXES, TableFile
from crossrec.data.sources.values import Reading, categories, identifiers, seconds

ORDER_NOTE = "times are places in each user's order: divide it with leave_one_out"

_ENTRY = re.compile(r"\s*(\d+)\s*,(.*)", re.DOTALL)
"""``item,text``: the text may hold further commas, quoted or not."""


class MicroLensSource(DataSource):
    """MicroLens-50k, -100k and larger, recognised by the files in ``data.root``.

    Clicks are read from ``*_pairs.csv`` (user, item, timestamp in milliseconds), or ``*_pairs.tsv`` (a user,
    a tab, the user's videos in order) where there is no CSV; titles from ``*_title_en.csv`` or
    ``*_titles.csv``, covers from ``<item>.jpg``, categories from ``tags_to_summary.csv``. All but the clicks
    may be missing. Comments are never read: they are the clicks themselves.

    Source:
        Ni et al. 2023, "A content-driven micro-video recommendation dataset at scale".
    """

    class Options(ComponentOptions):
        """Options of MicroLens.

        Args:
            pairs: the click file; found by its name when not set.
            titles: the title file; found by its name when not set.
            covers: folder of the covers; the folder whose name ends in ``covers`` when not set.
            encoding: encoding of the files.
            likes_and_views: also keep ``*_likes_and_views.txt`` as the columns ``likes`` and ``views``. They
                were counted after the last click, so nothing that learns may see them; off by default.
        """

        pairs: str | None = None
        titles: str | None = None
        covers: str | None = None
        encoding: Encoding = "utf-8"
        likes_and_views: bool = False

    options: Options

    def load(self) -> RawData:
        """Read the files.

        Raises:
            SourceError: if the root or the clicks are missing, or a file has another layout.
        """
        options = self.options
        root = require_root(self.root, "microlens")
        faults = Faults()
        pairs = titles = covers = None
        with faults.collected():
            pairs = _file(root, options.pairs, "pairs", "*_pairs.csv", "*_pairs.tsv")
        with faults.collected():
            titles = _file(root, options.titles, "titles", "*_title_en.csv", "*_titles.csv")
        with faults.collected():
            covers = _covers(options, root)
        faults.report()
        if pairs is None:
            there = ", ".join(sorted(path.name for path in root.iterdir())[:20]) or "nothing"
            raise SourceError(
                f"{root} holds neither *_pairs.csv nor *_pairs.tsv; it holds {there}. Set data.root=FOLDER "
                "or data.source.pairs=FILE"
            )
        notes = []
        steps: list[Step] = []
        ordinal = pairs.suffix == ".tsv"
        if ordinal:
            log = _sequences(pairs, options.encoding)
            notes.append(ORDER_NOTE)
        else:
            log, time = _pairs(pairs, options.encoding)
            steps.append(time.step("time", "clicks"))
        catalog, twice = _catalog(options, root, titles, covers, log["item_id"])
        if twice:
            notes.append(f"{twice:,} titles of a video that has one already (the first counts)")
        name, note = f"microlens ({root.name})", "; ".join(notes)
        return RawData(name, note, catalog, Interactions(log), steps=tuple(steps), ordinal=ordinal)


def _file(root: Path, name: str | None, key: str, *patterns: str) -> Path | None:
    """Return the configured file, else the first that a pattern finds."""
    if name is None:
        found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
        return found[0] if found else None
    if not (root / name).is_file():
        there = nearest_file(root, name, CSV_SUFFIXES)
        raise SourceError(f"{root / name} does not exist; {there}. Set data.source.{key}=FILE")
    return root / name


def _pairs(path: Path, encoding: str) -> tuple[pl.DataFrame, Reading]:
    file = TableFile(path.parent, path.name, "data.source.pairs", ",", encoding)
    names = ("user", "item", "timestamp")
    faults = Faults()
    for name in names:
        if name not in file.columns:
            hint = suggest(name, file.columns)
            faults.add(f"{path} has no column '{name}'; {hint}. Set data.source.pairs=FILE")
    faults.report()
    frame = file.read(names)
    time = seconds(frame["timestamp"], "ms", str(path), "data.source.pairs")
    (user,), (item,) = (identifiers(frame[name], where=str(path)) for name in ("user", "item"))
    return pl.DataFrame({"user_id": user, "item_id": item, "timestamp": time.values}), time


def _sequences(path: Path, encoding: str) -> pl.DataFrame:
    """Read one line of videos per user; positions in it serve as times."""
    lines = Lines(path, encoding).fields("\t", ("user_id", "items"), "data.source.pairs=FILE", whole=True)
    videos = pl.col("items").str.extract_all(r"\S+")
    return (
        lines.select(pl.col("user_id").str.strip_chars(), item_id=videos)
        .with_columns(timestamp=pl.int_ranges(pl.col("item_id").list.len()))
        .explode("item_id", "timestamp")
        .with_columns(pl.col("timestamp").cast(pl.Float64))
    )


def _catalog(
    options: MicroLensSource.Options, root: Path, path: Path | None, folder: Path | None, clicked: pl.Series
) -> tuple[Catalog, int]:
    """Return all videos with a title, then those that are only clicked; how many titles came twice."""
    titles: dict[str, str] = {}
    twice = 0
    for item_id, title in [] if path is None else _entries(path, "data.source.encoding", options.encoding):
        twice += item_id in titles
        titles.setdefault(item_id, title)
    known = clicked.unique(maintain_order=True).to_frame("item_id").filter(~is_missing(pl.col("item_id")))
    ids = [*titles, *(item_id for item_id in known["item_id"] if item_id not in titles)]
    columns: dict[str, Any] = {"item_id": ids}
    columns["title"] = columns["text"] = [titles.get(item_id) or None for item_id in ids]
    if (root / "tags_to_summary.csv").is_file():
        tags = dict(_entries(root / "tags_to_summary.csv", "data.source.encoding", options.encoding))
        columns["categories"] = categories(pl.Series([tags.get(i) for i in ids], dtype=pl.String), "")[
            0
        ].to_list()
    covers = pictures_in(folder) if folder is not None else {}
    columns["image_path"] = [covers.get(item_id) for item_id in ids]
    if options.likes_and_views:
        columns |= _likes_and_views(root, ids, options.encoding)
    return Catalog.from_columns(columns, None if folder is None else (folder,)), twice


def _covers(options: MicroLensSource.Options, root: Path) -> Path | None:
    if options.covers is None:
        found = sorted(path for path in root.iterdir() if path.is_dir() and path.name.endswith("covers"))
        return found[0] if found else None
    if not (root / options.covers).is_dir():
        there = suggest(options.covers, sorted(path.name for path in root.iterdir() if path.is_dir())[:50])
        raise SourceError(f"{root / options.covers} is no folder; {there}. Set data.source.covers=FOLDER")
    return root / options.covers


def _entries(path: Path, way_out: str, encoding: str) -> list[tuple[str, str]]:
    """Return (item, text) of each entry; the first line may be a header, and a text may go on over lines."""
    entries: list[list[str]] = []
    with text_lines(path, way_out, encoding) as lines:
        for number, line in enumerate(lines, start=1):
            if found := _ENTRY.fullmatch(line):
                entries.append([found[1], found[2]])
            elif entries:
                entries[-1][1] += line
            elif line.strip() and number > 1:
                raise SourceError(
                    f"{path}, line {number}: must be a video's number, a comma, and a text. Fix the line"
                )
    return [(item_id, _unquoted(text)) for item_id, text in entries]


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    return " ".join(text.split())


def _likes_and_views(root: Path, ids: list[str], encoding: str) -> dict[str, list[int | None]]:
    path = _file(root, None, "likes_and_views", "*_likes_and_views.txt")
    if path is None:
        raise SourceError(
            f"{root} holds no *_likes_and_views.txt: fetch it, or set data.source.likes_and_views=false"
        )
    counted: dict[str, tuple[int, int]] = {}
    with text_lines(path, "data.source.encoding", encoding) as lines:
        for number, line in enumerate(lines, start=1):
            parts = line.split()
            if len(parts) == 3 and all(part.isdigit() for part in parts):
                counted[parts[0]] = (int(parts[1]), int(parts[2]))
            elif line.strip() and number > 1:
                raise SourceError(
                    f"{path}, line {number}: must be video, likes, views. Fix it, or set "
                    "data.source.likes_and_views=false"
                )
    rows = [counted.get(item_id, (None, None)) for item_id in ids]
    return {"likes": [likes for likes, _ in rows], "views": [views for _, views in rows]}
