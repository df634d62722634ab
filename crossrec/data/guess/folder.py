"""A guess about a whole folder: its layout, the source's options with the evidence, and what is not used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from crossrec.data.guess.facts import ColumnFacts, named
from crossrec.data.guess.roles import ITEMS, Entry, Roles, first_values, item_roles, log_roles, unread_time
from crossrec.data.guess.tables import (
    Table,
    TablePair,
    find_pairs,
    is_id,
    match_share,
    read_table,
    table_files,
    table_of,
)
from crossrec.data.sources.reading import PICTURE_SUFFIXES, SourceError, guessed_encoding, pictures_in
from crossrec.data.sources.recbole import AtomicFile

SOURCE = "data.source"
BY_HAND = (
    "Write the file by hand: copy configs/table_example.yaml and set data.root, data.source.items, "
    "data.source.interactions and their columns (docs/your_data.md)"
)


@dataclass(frozen=True)
class FolderGuess:
    """Tables and pictures of a folder.

    Args:
        entries: keys of the configuration, in order, with their evidence.
        unused: files and columns that are not used, and why.
        ordinal: whether times are positions, so that only ``leave_one_out`` can divide the log.
    """

    entries: tuple[Entry, ...]
    unused: tuple[tuple[str, str], ...] = ()
    ordinal: bool = False


def guess_folder(root: Path) -> FolderGuess:
    """Guess the source of a folder's data: a known layout, or two tables.

    Args:
        root: folder of the data.

    Raises:
        SourceError: if it is no folder, or no items and interactions are found; the message says what is
            missing.
    """
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise SourceError(f"{root} {kind}: name the folder that holds your tables")
    for layout in (_movielens, _microlens, _amazon, _recbole):
        if (found := layout(root)) is not None:
            return found
    return _two_tables(root)


def _two_tables(root: Path) -> FolderGuess:
    tables: list[Table] = []
    unused: list[tuple[str, str]] = []
    for name in table_files(root):
        try:
            tables.append(read_table(root, name))
        except SourceError as error:
            unused.append((name, f"can't be read: {str(error).removeprefix(f'{root / name}')[:200].strip()}"))
    pair = _best_pair(root, tables, unused)
    items = item_roles(pair.items, pair.item_id)
    why = f"{pair.match:.0%} of the values match '{pair.item_id}' of {pair.items.name}"
    log, ordinal = log_roles(pair.log, pair.log_item, why)
    files = [
        Entry(f"{SOURCE}.type", "table", "two tables; the layout is none of the published data sets"),
        Entry(f"{SOURCE}.items", pair.items.name, f"{pair.items.rows}, one per item"),
        Entry(f"{SOURCE}.interactions", pair.log.name, f"{pair.log.rows}, {pair.match:.0%} on these items"),
        *_format(pair),
    ]
    pictures, unused_pictures = _pictures(root, pair.items, pair.item_id, items)
    others = [table for table in tables if table is not pair.items and table is not pair.log]
    unused += [(table.name, _why_unused(table, pair)) for table in others]
    rest = [column for column in pair.log.columns if column not in log.taken]
    unused += [(f"{pair.log.name}: {column}", "not read: clicks have no further columns") for column in rest]
    taken = {*items.taken, *(str(e.value) for e in pictures)}
    for column, facts in pair.items.columns.items():
        if column not in taken:
            why = "no role; kept with the items, for filters" if len(facts.present) else "empty"
            unused.append((f"{pair.items.name}: {column}", why))
    entries = [*files, *items.entries, *pictures, *log.entries]
    return FolderGuess(tuple(_in_order(entries)), (*unused, *unused_pictures), ordinal)


def _in_order(entries: list[Entry]) -> list[Entry]:
    """Return the entries grouped by section, as YAML needs them."""
    sections = (f"{SOURCE}.item_columns", f"{SOURCE}.interaction_columns")
    first = [e for e in entries if e.key.startswith(SOURCE) and not e.key.startswith(sections)]
    columns = [e for section in sections for e in entries if e.key.startswith(section)]
    return [*first, *columns, *(e for e in entries if not e.key.startswith(SOURCE))]


def _best_pair(root: Path, tables: list[Table], unused: list[tuple[str, str]]) -> TablePair:
    pairs = find_pairs(tables)
    if pairs:
        return pairs[0]
    unread = [f"{name}: {why}" for name, why in unused]
    if not tables:
        said = f"; {'; '.join(unread)}" if unread else ""
        raise SourceError(
            f"{root} holds no table that can be read (.csv, .tsv, .parquet, .jsonl; also .csv.gz and "
            f".jsonl.gz){said}. Two are needed: items with one row per item, and interactions with user, "
            f"item and time. {BY_HAND}"
        )
    there = "; ".join([*(table.describe() for table in tables), *unread])
    keys = [f"'{f.name}' of {t.name}" for t in tables for f in t.columns.values() if is_id(f)]
    timed = [table for table in tables if any(f.times is not None for f in table.columns.values())]
    if len(tables) == 1 or not keys:
        missing = "a second table is needed" if len(tables) == 1 else "no table has another id in every row"
        what = "items need one row per item with its id; interactions need user, item and time"
    elif not timed:
        missing = "no table has a time (seconds, milliseconds, ISO dates as 2024-12-31, or positions)"
        missing += next(filter(None, map(unread_time, tables)), "")
        what = "interactions need user, item and time"
    else:
        missing = "no column of one table holds ids of another"
        what = f"possible ids are {', '.join(keys[:8])}; at least half of the interactions must match them"
    raise SourceError(f"{root}: {missing}: {what}. Found: {there}. {BY_HAND}")


def _format(pair: TablePair) -> Iterator[Entry]:
    """Yield delimiter and encoding, which both tables share.

    Raises:
        SourceError: if they differ.
    """
    files = [table for table in (pair.items, pair.log) if table.delimiter is not None]
    marks = {table.delimiter: table.name for table in files if len(table.columns) > 1}
    if len(marks) > 1:
        said = " and ".join(f"{name} by {mark!r}" for mark, name in marks.items())
        raise SourceError(
            f"the two tables have different delimiters ({said}), but data.source.delimiter is one for both: "
            "write one of them again with the other's"
        )
    names = {table.encoding: table.name for table in files if not table.is_ascii}
    if len(names) > 1:
        said = " and ".join(f"{name} in {encoding}" for encoding, name in names.items())
        raise SourceError(
            f"the two tables have different encodings ({said}), but data.source.encoding is one for both: "
            "convert both to UTF-8"
        )
    for mark in marks:
        if mark != ",":
            widths = " and ".join(f"{len(table.columns)}" for table in files)
            yield Entry(f"{SOURCE}.delimiter", mark, f"it divides the headers into {widths} columns")
    for encoding in names:
        if encoding not in (None, "utf-8"):
            yield Entry(f"{SOURCE}.encoding", encoding, "not UTF-8; if letters look wrong, change this")


def _why_unused(table: Table, pair: TablePair) -> str:
    key = pair.items.columns[pair.item_id]
    for facts in table.columns.values():
        if facts.usable and not facts.is_list and match_share(key, facts) > 0.5:
            if facts.is_key:
                rest = ", ".join(f"'{name}'" for name in table.columns if name != facts.name)
                return f"also has one row per item ('{facts.name}'): join {rest} into {pair.items.name}"
            return f"also refers to items ('{facts.name}'), but one table of interactions is read"
    return f"no column refers to the items of {pair.items.name}"


def _pictures(
    root: Path, items: Table, identifier: str, roles: Roles
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Return entries for the pictures, and picture folders that are not used."""
    if items.pictures:
        return [Entry(f"{ITEMS}.image", items.pictures[0], "encoded pictures in the table")], []
    folders = _picture_folders(root)
    unused: list[tuple[str, str]] = []
    for facts in items.columns.values():
        if facts.address_share > 0.5 and (named(facts.name, "image") or facts.picture_share > 0.5):
            unused.append((f"{items.name}: {facts.name}", "addresses: download the pictures to use them"))
        if facts.picture_share > 0.5 and facts.address_share < 0.5 and facts.name not in roles.taken:
            share, folder = _folder_of_names(root, folders, facts)
            if share > 0:
                why = f"{share:.0%} of the named files are there"
                entries = [Entry(f"{ITEMS}.image", facts.name, f"names of pictures; {why}")]
                return [*entries, Entry(f"{SOURCE}.images", folder, why)], unused
            unused.append((f"{items.name}: {facts.name}", "names pictures, but no folder holds them"))
    ids = items.columns[identifier].present
    for folder, n in sorted(folders.items(), key=lambda pair: -pair[1]):
        found = pictures_in(root / folder)
        share = float(ids.is_in(list(found)).mean() or 0)  # type: ignore[arg-type]
        if share >= 0.01:
            why = f"{share:.0%} of the item ids have a picture of that name, such as {_name_of(ids, found)}"
            return [Entry(f"{SOURCE}.images", folder, why)], unused
        unused.append((f"{folder}/", f"{n:,} pictures: no column names them, nor are they named by item ids"))
    return [], unused


def _name_of(ids: object, found: dict[str, str]) -> str:
    first = next(str(i) for i in ids if str(i) in found)  # type: ignore[attr-defined]
    return Path(found[first]).name


def _picture_folders(root: Path) -> dict[str, int]:
    """Return the folders with pictures, down to two levels, with the number of pictures in each."""
    found: dict[str, int] = {}
    levels = [root, *(path for pattern in ("*/", "*/*/") for path in sorted(root.glob(pattern)))]
    for folder in levels[:200]:
        with suppress(OSError), os.scandir(folder) as entries:
            n = sum(os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES for entry in entries)
            if n:
                found[folder.relative_to(root).as_posix()] = n
    return found


def _folder_of_names(root: Path, folders: dict[str, int], facts: ColumnFacts) -> tuple[float, str]:
    """Return the folder in which most of the named files are, and the share of those that are."""
    names = first_values(facts).to_list()
    best = (0.0, "")
    for folder in {".": 0, **folders}:
        base = root / folder
        share = sum((base / name).is_file() for name in names) / max(len(names), 1)
        best = max(best, (share, folder), key=lambda found: found[0])
    return best


def _movielens(root: Path) -> FolderGuess | None:
    for suffix in (".csv", ".dat"):
        if (root / f"ratings{suffix}").is_file() and (root / f"movies{suffix}").is_file():
            break
    else:
        return None
    if suffix == ".csv" and not {"userId", "movieId", "rating", "timestamp"} <= _header(root / "ratings.csv"):
        return None
    files = f"ratings{suffix} and movies{suffix} of GroupLens"
    posters = _picture_folders(root).get("posters", 0)
    more = [f"{posters:,} posters"] if posters else []
    more += ["overviews.csv"] if (root / "overviews.csv").is_file() else []
    read = {f"ratings{suffix}", f"movies{suffix}", "overviews.csv"}
    why = {"tags.csv": "tags are written by few users and would identify them"}
    return FolderGuess(
        (
            Entry(f"{SOURCE}.type", "movielens", ", ".join([files, *more])),
            Entry("data.cleaning.min_rating", 4, "keeps only what users liked", active=False),
        ),
        tuple(_other_files(root, read, why)),
    )


def _microlens(root: Path) -> FolderGuess | None:
    clicks = [p.name for pattern in ("*_pairs.csv", "*_pairs.tsv") for p in sorted(root.glob(pattern))]
    if not clicks:
        return None
    read = [
        *clicks[:1],
        *(p.name for pattern in ("*_title*.csv", "tags_to_summary.csv") for p in root.glob(pattern)),
    ]
    return FolderGuess(
        (Entry(f"{SOURCE}.type", "microlens", f"{', '.join(read)} as Westlake University publishes them"),),
        tuple(_other_files(root, {*read}, {})),
        ordinal=clicks[0].endswith(".tsv"),
    )


def _amazon(root: Path) -> FolderGuess | None:
    found = sorted(
        path.name.removeprefix("meta_").split(".jsonl")[0]
        for folder in (root, root / "raw" / "meta_categories")
        for path in folder.glob("meta_*.jsonl*")
    )
    found += sorted(p.name.removeprefix("raw_meta_") for p in root.glob("raw_meta_*") if p.is_dir())
    folders = (root, root / "raw" / "review_categories")
    for category in found:
        logs = [p for folder in folders for p in folder.glob(f"{category}.jsonl*")]
        logs += list(root.glob(f"raw_review_{category}/*.parquet"))
        if logs:
            files = f"{logs[0].name} and the metadata meta_{category}, of the McAuley Lab"
            others = tuple((name, "another category") for name in found if name != category)
            return FolderGuess(
                (
                    Entry(f"{SOURCE}.type", "amazon_reviews_2023", files),
                    Entry(f"{SOURCE}.category", category, "the first that has reviews and metadata"),
                    Entry("data.cleaning.min_rating", 4, "keeps only positive reviews", active=False),
                ),
                others,
            )
    return None


def _recbole(root: Path) -> FolderGuess | None:
    names = sorted(path.stem for path in root.glob("*.inter"))
    if not names:
        return None
    name = names[0]
    encoding = guessed_encoding(root / f"{name}.inter") or "utf-8"
    log = _atomic(root / f"{name}.inter", encoding)
    entries = [
        Entry(f"{SOURCE}.type", "recbole", f"{name}.inter in RecBole's format, {log.rows}"),
        Entry(f"{SOURCE}.dataset", name, "the first .inter file of the folder"),
    ]
    if encoding != "utf-8":
        entries.append(Entry(f"{SOURCE}.encoding", encoding, "not UTF-8"))
    unused: list[tuple[str, str]] = [(f"{other}.inter", "another data set") for other in names[1:]]
    described = (root / f"{name}.item").is_file()
    item, why = _named_item(log), "named like an item id"
    items = Roles()
    if described:
        table = _atomic(root / f"{name}.item", encoding)
        pairs = find_pairs([table, log])
        pairs = [pair for pair in pairs if pair.items is table]
        if not pairs:
            raise SourceError(f"no field of {log.describe()} holds ids of {table.describe()}. {BY_HAND}")
        item, why = pairs[0].log_item, f"{pairs[0].match:.0%} of the values match ids of {name}.item"
        items = item_roles(table, pairs[0].item_id)
        pictures, lost = _pictures(root, table, pairs[0].item_id, items)
        items.entries += pictures
        unused += [
            (f"{name}.item: {c}", "no role; kept with the items")
            for c in table.columns
            if c not in items.taken
        ]
        unused += lost
    roles, ordinal = log_roles(log, item, why)
    unused += [(f"{name}.inter: {c}", "not read") for c in log.columns if c not in roles.taken]
    if (root / f"{name}.user").is_file():
        unused.append((f"{name}.user", "users are represented by their histories"))
    return FolderGuess(tuple(_in_order([*entries, *items.entries, *roles.entries])), tuple(unused), ordinal)


def _named_item(log: Table) -> str:
    best = max(log.columns, key=lambda column: named(column, "item"))
    if not named(best, "item"):
        raise SourceError(f"no field of {log.describe()} is named like an item id. {BY_HAND}")
    return best


def _atomic(path: Path, encoding: str) -> Table:
    frame, _ = AtomicFile(path, "\t", encoding).read("clicks")
    return table_of(path.name, frame)


def _header(path: Path) -> set[str]:
    with suppress(SourceError):
        return {*read_table(path.parent, path.name).columns}
    return set()


def _other_files(root: Path, read: set[str], why: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name in table_files(root):
        if name not in read:
            yield name, why.get(name, "not part of what this source reads")
