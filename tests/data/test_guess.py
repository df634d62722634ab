"""Guesses about a folder: which table is what, the role of each column, and what is missing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crossrec.data.guess.facts import named
from crossrec.data.guess.folder import FolderGuess, guess_folder
from crossrec.data.guess.roles import event_weight
from crossrec.data.guess.tables import guessed_delimiter
from crossrec.data.sources.reading import SourceError

N_ITEMS, N_USERS, FIRST = 30, 12, 1_650_000_000


def clicks() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (f"C{user:03}", f"P{item:04}", FIRST + 86_400 * step + user, event)
        for user in range(N_USERS)
        for step, (item, event) in enumerate(
            zip(rng.integers(0, N_ITEMS, 9), ["view", "view", "cart", "purchase", "view"] * 2, strict=False)
        )
    ]
    return pl.DataFrame(rows, schema=["user", "item", "time", "event"], orient="row")


def items() -> pl.DataFrame:
    rows = [
        (
            f"P{i:04}",
            f"Mantel Größe {i}",
            f"Ein roter Mantel aus guter Wolle, Nummer {i}",
            f"kind {i % 4}",
            i + 0.5,
        )
        for i in range(N_ITEMS)
    ]
    return pl.DataFrame(rows, schema=["id", "title", "text", "kind", "price"], orient="row")


def english(root: Path) -> dict[str, Any]:
    items().rename({"id": "sku", "title": "name", "text": "description", "kind": "category"}).write_csv(
        root / "items.csv"
    )
    log = clicks().rename({"user": "customer", "item": "sku", "event": "action"})
    log.with_columns(stock=pl.int_range(pl.len())).write_csv(root / "interactions.csv")
    (root / "photos").mkdir()
    for i in range(0, N_ITEMS, 2):
        Image.new("RGB", (4, 4)).save(root / "photos" / f"P{i:04}.jpg")
    return {
        "type": "table",
        "items": "items.csv",
        "interactions": "interactions.csv",
        "images": "photos",
        "time_unit": "s",
        "item_columns.id": "sku",
        "item_columns.title": "name",
        "item_columns.text": ["name", "description"],
        "item_columns.categories": "category",
        "item_columns.price": "price",
        "interaction_columns.user": "customer",
        "interaction_columns.item": "sku",
        "interaction_columns.timestamp": "time",
        "interaction_columns.event": "action",
        "cleaning.events": {"view": 1, "cart": 3, "purchase": 5},
    }


def german(root: Path) -> dict[str, Any]:
    """Abbreviated German headers, semicolons, Windows' encoding, decimal commas, milliseconds, file names."""
    names = {"id": "ArtNr", "title": "Bez", "text": "Beschr", "kind": "WGr", "price": "VK_Brutto"}
    sold = (
        items()
        .rename(names)
        .with_columns(
            pl.col("VK_Brutto").cast(pl.String).str.replace(".", ",", literal=True),
            Bilddatei=pl.format("bild_{}.png", pl.int_range(pl.len())),
        )
    )
    (root / "Stammdaten.csv").write_bytes(sold.write_csv(separator=";").encode("cp1252"))
    log = clicks().select(
        KdNr=pl.col("user").str.replace("C", "9"), Art=pl.col("item"), Zeitpunkt=pl.col("time") * 1000
    )
    log = log.with_columns(Bewertung=pl.format("{},5", pl.int_range(pl.len()) % 5))
    log.write_csv(root / "Bewegungen.csv", separator=";")
    (root / "Medien" / "bilder").mkdir(parents=True)
    for i in range(20):
        Image.new("RGB", (4, 4)).save(root / "Medien" / "bilder" / f"bild_{i}.png")
    return {
        "type": "table",
        "items": "Stammdaten.csv",
        "interactions": "Bewegungen.csv",
        "delimiter": ";",
        "encoding": "cp1252",
        "images": "Medien/bilder",
        "time_unit": "ms",
        "item_columns.id": "ArtNr",
        "item_columns.title": "Bez",
        "item_columns.text": ["Bez", "Beschr"],
        "item_columns.categories": "WGr",
        "item_columns.price": "VK_Brutto",
        "item_columns.image": "Bilddatei",
        "interaction_columns.user": "KdNr",
        "interaction_columns.item": "Art",
        "interaction_columns.timestamp": "Zeitpunkt",
        "interaction_columns.rating": "Bewertung",
    }


def packed(root: Path) -> dict[str, Any]:
    """JSON Lines with lists, packed; a TSV log of numbers only, positions for times."""
    lines = [
        {"movie_id": i, "name": f"Film {i}", "genres": ["drama", "war"][: 1 + i % 2], "pages": {"a": i}}
        for i in range(1, N_ITEMS + 1)
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (root / "movies.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    rows = [(u, 1 + (3 * u + s) % N_ITEMS, s) for u in range(1, N_USERS + 1) for s in range(6)]
    log = pl.DataFrame(rows, schema=["uid", "movie_id", "position"], orient="row")
    (root / "seen.tsv.gz").write_bytes(gzip.compress(log.write_csv(separator="\t").encode()))
    return {
        "type": "table",
        "items": "movies.jsonl.gz",
        "interactions": "seen.tsv.gz",
        "delimiter": "\t",
        "time_unit": "order",
        "item_columns.id": "movie_id",
        "item_columns.title": "name",
        "item_columns.text": ["name"],
        "item_columns.categories": "genres",
        "interaction_columns.user": "uid",
        "interaction_columns.item": "movie_id",
        "interaction_columns.timestamp": "position",
    }


def parquet(root: Path) -> dict[str, Any]:
    """Typed times and encoded pictures."""
    picture = b"\x89PNG\r\n\x1a\n"
    items().with_columns(cover=pl.lit(picture), blob=pl.lit(b"x")).write_parquet(root / "a.parquet")
    log = clicks().drop("event").with_columns(pl.from_epoch("time"))
    log.write_parquet(root / "b.parquet")
    return {
        "type": "table",
        "items": "a.parquet",
        "interactions": "b.parquet",
        "item_columns.id": "id",
        "item_columns.title": "title",
        "item_columns.text": ["title", "text"],
        "item_columns.categories": "kind",
        "item_columns.price": "price",
        "item_columns.image": "cover",
        "interaction_columns.user": "user",
        "interaction_columns.item": "item",
        "interaction_columns.timestamp": "time",
    }


def movielens(root: Path) -> dict[str, Any]:
    (root / "movies.csv").write_text("movieId,title,genres\n1,Heat (1995),Crime\n")
    (root / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,4.0,964982703\n")
    return {"type": "movielens"}


def amazon(root: Path) -> dict[str, Any]:
    (root / "meta_Toys.jsonl.gz").write_bytes(gzip.compress(b"{}"))
    (root / "meta_Books.jsonl").write_text("{}")
    (root / "Toys.jsonl").write_text("{}")
    return {"type": "amazon_reviews_2023", "category": "Toys"}


def microlens(root: Path) -> dict[str, Any]:
    (root / "MicroLens-50k_pairs.csv").write_text("user,item,timestamp\n1,2,3\n")
    return {"type": "microlens"}


def recbole(root: Path) -> dict[str, Any]:
    names = {
        "user": "user_id:token",
        "item": "product:token",
        "time": "timestamp:float",
        "event": "behavior:token",
    }
    clicks().rename(names).write_csv(root / "shop.inter", separator="\t")
    names = {"id": "product:token", "title": "name:token_seq", "kind": "class:token", "price": "price:float"}
    items().drop("text").rename(names).write_csv(root / "shop.item", separator="\t")
    return {
        "type": "recbole",
        "dataset": "shop",
        "time_unit": "s",
        "item_columns.id": "product",
        "item_columns.title": "name",
        "item_columns.text": ["name"],
        "item_columns.categories": "class",
        "item_columns.price": "price",
        "interaction_columns.user": "user_id",
        "interaction_columns.item": "product",
        "interaction_columns.timestamp": "timestamp",
        "interaction_columns.event": "behavior",
        "cleaning.events": {"view": 1, "cart": 3, "purchase": 5},
    }


LAYOUTS: list[Callable[[Path], dict[str, Any]]] = [
    english, german, packed, parquet, movielens, amazon, microlens, recbole
]  # fmt: skip


def found(guess: FolderGuess) -> dict[str, Any]:
    keys = {e.key.removeprefix("data.").removeprefix("source."): e.value for e in guess.entries if e.active}
    assert all(entry.why for entry in guess.entries)
    return keys


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_recognized(tmp_path: Path, layout: Callable[[Path], dict[str, Any]]) -> None:
    expected = layout(tmp_path)
    guess = guess_folder(tmp_path)
    assert found(guess) == expected
    assert guess.ordinal == (layout is packed)


def test_evidence_and_what_is_not_used_are_told(tmp_path: Path) -> None:
    english(tmp_path)
    (tmp_path / "titles.csv").write_text(
        "sku,french\n" + "".join(f"P{i:04},Manteau {i}\n" for i in range(N_ITEMS))
    )
    (tmp_path / "stores.csv").write_text("city,country\nUlm,DE\n")
    (tmp_path / "broken.parquet").write_bytes(b"no")
    (tmp_path / "logos").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "logos" / "us.png")
    guess = guess_folder(tmp_path)
    why = {entry.key.rpartition(".")[2]: entry.why for entry in guess.entries}
    assert why["item"] == "100% of the values match 'sku' of items.csv"
    assert why["images"] == "50% of the item ids have a picture of that name, such as P0000.jpg"
    assert why["event"] == "view 60, cart 24, purchase 24"
    targets = next(entry for entry in guess.entries if entry.key.endswith("target_events"))
    assert (targets.value, targets.active) == (["purchase"], False)
    unused = dict(guess.unused)
    assert "join 'french' into items.csv" in unused["titles.csv"]
    assert unused["stores.csv"] == "no column refers to the items of items.csv"
    assert unused["broken.parquet"].startswith("can't be read")
    assert "not read" in unused["interactions.csv: stock"]
    assert "logos/" not in unused or "1 pictures" in unused["logos/"]


def remove(*names: str) -> Callable[[Path], None]:
    return lambda root: [(root / name).unlink() for name in names].clear()


def items_changed(**columns: pl.Expr) -> Callable[[Path], None]:
    return lambda root: items().rename({"id": "sku"}).with_columns(**columns).write_csv(root / "items.csv")


def log_changed(separator: str = ",", **columns: pl.Expr) -> Callable[[Path], None]:
    return lambda root: (
        clicks().with_columns(**columns).write_csv(root / "interactions.csv", separator=separator)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("interactions.csv"), r"a second table is needed.*Found: items\.csv"),
        (remove("interactions.csv", "items.csv"), r"holds no table .* configs/table_example"),
        (
            items_changed(sku=pl.lit("X")),
            r"no table has another id in every row: items need one row per item",
        ),
        (
            log_changed(time=pl.lit("31.12.2024 10:00")),
            r"no table has a time.*'time' of interactions\.csv .* '31\.12\.2024 10:00'",
        ),
        (
            log_changed(separator=";"),
            r"different delimiters \(items\.csv by ',' and interactions\.csv by ';'\)",
        ),
        (
            log_changed(user=pl.int_range(pl.len()), event=pl.lit(None)),
            r"no column of interactions\.csv .* is a user",
        ),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    items_changed()(tmp_path)
    log_changed()(tmp_path)
    change(tmp_path)
    with pytest.raises(SourceError, match=message):
        guess_folder(tmp_path)


def test_two_encodings_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(items().write_csv().encode("cp1252"))
    clicks().with_columns(user=pl.col("user") + "é").write_csv(tmp_path / "interactions.csv")
    with pytest.raises(SourceError, match=r"different encodings .*cp1252.* convert both to UTF-8"):
        guess_folder(tmp_path)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        guess_folder(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "weight"),
    [("View", 1), ("add_to_cart", 3), ("AddToCart", 3), ("Kauf", 5), ("removefromcart", 0), ("foo", None)],
)
def test_event_weights(name: str, weight: int | None) -> None:
    assert event_weight(name) == weight


def test_names_are_divided_into_words() -> None:
    assert named("ArtNr", "item") == named("user_id", "user") == named("productID", "item") == 2
    assert named("verkaufspreis", "price") == 1
    assert named("starting", "rating") == 1 or named("start", "item") == 0
    assert named("stock", "price") == 0


@pytest.mark.parametrize(
    ("text", "mark"),
    [("a;b\n1,5;2\n2,5;3\n", ";"), ("a,b\n1,2\n", ","), ("a\tb\n1\t2\n", "\t"), ("a\n1\n", ","),
     ('a,b\n"1;2;3;4",2\n"1;2;3;4",3\n', ",")],
)  # fmt: skip
def test_delimiters(text: str, mark: str) -> None:
    assert guessed_delimiter(text) == mark
