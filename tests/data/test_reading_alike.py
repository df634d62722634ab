"""The same odd values through every source: read, counted or refused alike, never null in silence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from crossrec.config import validate
from crossrec.data.dataset import Dataset
from crossrec.data.interactions import InteractionDataError
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.data.sources import SOURCES
from crossrec.data.sources.reading import SourceError
from crossrec.types import InputError

Rows = list[dict[str, Any]]
CASES = Path(os.environ.get("CROSSREC_SHARED", Path(__file__).parents[2] / ".." / "shared")) / "cases"
USERS = 12
FIRST = 1_600_000_000

NAMES = {"user": "user_id", "item": "item_id", "time": "timestamp", "stars": "rating", "name": "title"}
TYPES = {"price": "float", "stars": "float", "time": "float", "kinds": "token"}


def shop() -> tuple[Rows, Rows]:
    """Six items, and twelve users who click five of them each."""
    items = [
        {"item": f"{i}", "name": f"Thing {i}", "kinds": f"kind {i % 2}", "price": f"{i}.5", "code": f"{i}"}
        for i in range(1, 7)
    ]
    clicks = [
        {"user": f"{100 + u}", "item": f"{1 + (u + s) % 6}", "time": FIRST + 1000 * s + u, "stars": "4"}
        for u in range(USERS)
        for s in range(5)
    ]
    return items, clicks


def csv_lines(rows: Rows, names: dict[str, str]) -> str:
    frame = pl.DataFrame(
        [{names.get(k, k): None if v is None else str(v) for k, v in r.items()} for r in rows]
    )
    return frame.write_csv(quote_style="necessary")


def table(root: Path, items: Rows, clicks: Rows) -> dict[str, Any]:
    named = NAMES | {"kinds": "categories"}
    (root / "items.csv").write_text(csv_lines(items, named))
    (root / "interactions.csv").write_text(csv_lines(clicks, named))
    return {"type": "table"}


def hugging_face(root: Path, items: Rows, clicks: Rows) -> dict[str, Any]:
    table(root, items, clicks)
    return {
        "type": "hf_dataset",
        "items": {"path": "items.csv"},
        "interactions": {"path": "interactions.csv"},
    }


def recbole(root: Path, items: Rows, clicks: Rows) -> dict[str, Any]:
    named = NAMES | {"kinds": "categories"}
    for suffix, rows in ((".item", items), (".inter", clicks)):
        header = "\t".join(f"{named.get(key, key)}:{TYPES.get(key, 'token')}" for key in rows[0])
        lines = ["\t".join("" if value is None else str(value) for value in row.values()) for row in rows]
        (root / f"shop{suffix}").write_text("\n".join([header, *lines]) + "\n")
    return {"type": "recbole"}


def amazon(root: Path, items: Rows, clicks: Rows) -> dict[str, Any]:
    meta = [{"parent_asin": i["item"], "title": i["name"], "price": i["price"]} for i in items]
    reviews = [
        {
            "user_id": c["user"],
            "parent_asin": c["item"],
            "timestamp": c["time"] * 1000 if isinstance(c["time"], int) else c["time"],
            "rating": c["stars"],
        }
        for c in clicks
    ]
    for name, rows in (("meta_Shop", meta), ("Shop", reviews)):
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"type": "amazon_reviews_2023"}


def movielens(root: Path, items: Rows, clicks: Rows) -> dict[str, Any]:
    named = {"item": "movieId", "name": "title", "kinds": "genres", "user": "userId", "time": "timestamp"}
    (root / "movies.csv").write_text(csv_lines(items, named))
    (root / "ratings.csv").write_text(csv_lines(clicks, named | {"stars": "rating"}))
    return {"type": "movielens"}


def microlens(root: Path, items: Rows, clicks: Rows) -> dict[str, Any]:
    rows = [{**c, "time": c["time"] * 1000 if isinstance(c["time"], int) else c["time"]} for c in clicks]
    (root / "small_pairs.csv").write_text(csv_lines(rows, {"time": "timestamp"}))
    (root / "small_titles.csv").write_text("".join(f"{i['item']},{i['name']}\n" for i in items))
    return {"type": "microlens"}


Writer = Callable[[Path, Rows, Rows], dict[str, Any]]
WRITERS: dict[str, Writer] = {
    "table": table,
    "hf_dataset": hugging_face,
    "recbole": recbole,
    "amazon_reviews_2023": amazon,
    "movielens": movielens,
    "microlens": microlens,
}
GENERATED = {"demo", "frames"}
"""Sources that read no files."""

ALL = [*WRITERS.values()]
WITH_RATINGS = [table, hugging_face, recbole, amazon, movielens]
WITH_PRICES = [table, hugging_face, recbole, amazon]
WITH_COLUMNS = [table, hugging_face, recbole]


def prepared(root: Path, source: dict[str, Any], **more: Any) -> PreparedData:
    content = {
        "root": str(root),
        "cache_dir": str(root / "cache"),
        "source": source,
        "split": {"type": "leave_one_out"},
        **more,
    }
    return Dataset.from_config(validate(DataConfig, content, "test")).split()


def test_every_source_that_reads_files_is_here() -> None:
    missing = {*SOURCES} - {*WRITERS} - GENERATED
    assert not missing, f"write the shop in the format of {missing}, and add the function to WRITERS"


def details(data: PreparedData) -> dict[str, str]:
    return {step.name: step.detail for step in data.report.steps}


@pytest.mark.parametrize("write", ALL)
def test_words_for_nothing_are_missing_ids_and_stay_words_in_titles(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    for row, word in enumerate(["nan", "NULL", "None", "\\N", "nan"]):
        clicks[row]["user"] = word
    clicks[10]["item"] = "null"
    items[0]["name"], items[1]["name"] = "NA", "null"
    data = prepared(tmp_path, write(tmp_path, items, clicks))
    found = details(data)["missing id"]
    assert found.startswith("user id 5 ('nan' 2, ")
    assert found.endswith("item id 1 ('null' 1)")
    assert data.catalog.column("title").to_pylist()[:2] == ["NA", "null"]
    assert "nan" not in data.clicks.user_ids


@pytest.mark.parametrize("write", ALL)
def test_a_number_with_and_without_a_fraction_is_one_id(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    for row, click in enumerate(clicks):
        if row % 2:
            click["user"] += ".0"
        if row % 3 and write is not microlens:
            click["item"] += ".0"
    data = prepared(tmp_path, write(tmp_path, items, clicks))
    assert sorted(data.clicks.user_ids) == [f"{100 + u}" for u in range(USERS)]
    assert len(data.clicks.sequences.items) == len(clicks)


@pytest.mark.parametrize("write", WITH_COLUMNS)
def test_codes_with_fractions_or_zeros_stay_as_they_are(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    versions = {f"{i}": f"1.{i - 1}" for i in range(1, 7)}
    for row in items:
        row["item"], row["kinds"], row["code"] = versions[row["item"]], f"00{row['code']}", f"00{row['code']}"
    for click in clicks:
        click["item"] = versions[click["item"]]
    data = prepared(tmp_path, write(tmp_path, items, clicks))
    assert list(data.catalog.item_ids) == ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5"]
    assert data.catalog.column("categories").to_pylist()[0] == ["001"]
    assert data.catalog.column("code").to_pylist()[0] == "001"


@pytest.mark.parametrize("write", WITH_PRICES)
def test_prices_are_read_or_counted(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    written = ["$12.99", "1,299.00", "from 7.99", "$ 15", "—", "nan"]
    for row, price in zip(items, written, strict=True):
        row["price"] = price
    data = prepared(tmp_path, write(tmp_path, items, clicks))
    assert data.catalog.column("price").to_pylist() == [12.99, 1299.0, None, 15.0, None, None]
    assert details(data)["unreadable price"].startswith("1 can't be read, such as 'from 7.99'")


@pytest.mark.parametrize("write", WITH_RATINGS)
def test_ratings_with_decimal_commas_are_read_and_others_counted(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    for click in clicks:
        click["stars"] = "4,5"
    clicks[0]["stars"] = "four"
    data = prepared(tmp_path, write(tmp_path, items, clicks), cleaning={"min_rating": 4.2})
    assert details(data)["unreadable rating"].startswith("1 can't be read, such as 'four'")
    assert len(data.clicks.sequences.items) == len(clicks) - 1


@pytest.mark.parametrize("write", ALL)
def test_times_are_read_whatever_their_offset_and_others_counted(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    forms = [
        "2020-09-13 12:26:40+00",
        "2020-09-13T12:26:40Z",
        "2020-09-13T14:26:40+0200",
        "2020-09-13 12:26:40",
    ]
    for click, text in zip(clicks, [*forms, "yesterday"], strict=False):
        click["time"] = text
    data = prepared(tmp_path, write(tmp_path, items, clicks))
    assert details(data)["unreadable time"].startswith("1 can't be read, such as 'yesterday'")
    assert details(data)["missing time"].startswith("none or unreadable 1")
    times = data.clicks.sequences.times
    assert times is not None
    assert (times == FIRST).sum() == 4
    assert not data.report.warnings


@pytest.mark.parametrize("write", ALL)
def test_mixed_units_of_time_are_an_error_and_odd_times_a_warning(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    clicks[0]["time"] *= 1000
    with pytest.raises(
        InteractionDataError, match=r"several units.*59 such as 16000\d+ and 1 such as 16000\d+000"
    ):
        prepared(tmp_path, write(tmp_path, items, clicks))
    clicks[0]["time"] = 5
    told = prepared(tmp_path, write(tmp_path, items, clicks)).report.warnings
    assert len(told) == 1
    assert told[0].startswith("1 of 60 clicks (1.7%) have times outside 1990 to tomorrow (1 before, 0 after")


@pytest.mark.parametrize("write", WITH_COLUMNS)
def test_positions_are_told_from_times(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    for click in clicks:
        click["time"] = (click["time"] - FIRST) // 1000
    source = write(tmp_path, items, clicks)
    told = prepared(tmp_path, source).report.warnings
    assert told[0].endswith("if they are positions, set data.source.time_unit=order")
    assert not prepared(tmp_path, {**source, "time_unit": "order"}).report.warnings
    for click in clicks:
        click["time"] = (FIRST + click["time"]) * 1000
    told = prepared(tmp_path, write(tmp_path, items, clicks)).report.warnings
    assert told[0].endswith("they look like ms: set data.source.time_unit=ms")


@pytest.mark.parametrize("write", ALL)
def test_a_user_with_much_of_the_log_is_told(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    assert not prepared(tmp_path, write(tmp_path, items, clicks)).report.warnings
    guests = [{**click, "user": "0", "time": click["time"] + 7} for click in clicks[:20]]
    told = prepared(tmp_path, write(tmp_path, items, clicks + guests)).report.warnings
    assert len(told) == 1
    assert told[0].startswith("the user '0' has 25% of the 80 clicks: guests under one id are no user")


@pytest.mark.parametrize("write", [table, hugging_face, recbole])
def test_zeros_in_front_are_told_where_they_explain_unknown_items(tmp_path: Path, write: Writer) -> None:
    items, clicks = shop()
    for row in items[4:]:
        row["item"] = f"00{row['item']}"
    data = prepared(tmp_path, write(tmp_path, items, clicks))
    told = details(data)["unknown item"]
    assert "2 would match but for zeros in front ('5' is '005' among the items)" in told


@pytest.mark.parametrize("write", [table, hugging_face, recbole])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["['a', 'b']", '["b"]', "[]", "c", "['a']", "c"], [["a", "b"], ["b"], None, ["c"], ["a"], ["c"]]),
        (["a|b", "b", "a|c", "b", "c", "a"], [["a", "b"], ["b"], ["a", "c"], ["b"], ["c"], ["a"]]),
        (["a, b", "b", "a, c", "b", "c", "a"], [["a", "b"], ["b"], ["a", "c"], ["b"], ["c"], ["a"]]),
        (["Shoes, Belts & Hats", "Home", "Home", "Home", "Toys", "Toys"], None),
    ],
)
def test_categories_in_every_form(tmp_path: Path, write: Writer, written: list[str], read: Any) -> None:
    items, clicks = shop()
    for row, text in zip(items, written, strict=True):
        row["kinds"] = text
    source = write(tmp_path, items, clicks)
    if write is recbole and ("|" in written[0] or "," in written[0][:3]):
        source["seq_separator"] = "|" if "|" in written[0] else ","
        file = tmp_path / "shop.item"
        file.write_text(file.read_text().replace("categories:token", "categories:token_seq"))
    data = prepared(tmp_path, source)
    assert data.catalog.column("categories").to_pylist() == (read or [[text] for text in written])


@pytest.mark.parametrize("write", ALL)
@pytest.mark.parametrize(("encoding", "guess"), [("cp1252", "cp1252"), ("utf-16", "utf-16")])
def test_another_encoding_is_named_with_the_key(
    tmp_path: Path, write: Writer, encoding: str, guess: str
) -> None:
    items, clicks = shop()
    items[3]["name"] = "Größe — “42”"
    source = write(tmp_path, items, clicks)
    for path in [path for path in tmp_path.iterdir() if path.is_file()]:
        # JSON is written with escapes, which would be the same in any encoding of eight bits.
        text = path.read_text().replace("\\u00f6", "ö")
        path.write_bytes(text.encode(encoding, "replace"))
    with pytest.raises(InputError, match=rf"not in UTF-8.*{guess}") as caught:
        prepared(tmp_path, source)
    message = str(caught.value)
    assert "Gr" not in message.replace(str(tmp_path), "")
    if write is not amazon:
        assert f"data.source.encoding={guess}" in message
        data = prepared(tmp_path, {**source, "encoding": encoding})
        assert data.catalog.column("title").to_pylist()[3] == "Größe — “42”"


@pytest.mark.parametrize("write", [table, hugging_face, movielens])
@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("secret,1", r"line 4: 2 fields, but the header names \d"),
        ("a,b,c,secret,e,f,g", r"line 4: 7 fields, but the header names \d"),
        ('"secret,1,2,3,4', r"line 4: a quotation mark is not closed"),
        ('"a"secret,1,2,3,4', r"line 4: a quotation mark is not closed, or text follows"),
    ],
)
def test_broken_lines_are_named_and_not_shown(tmp_path: Path, write: Writer, broken: str, told: str) -> None:
    source = write(tmp_path, *shop())
    file = tmp_path / ("ratings.csv" if write is movielens else "interactions.csv")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], broken, *lines[3:]]) + "\n")
    with pytest.raises(SourceError, match=told) as caught:
        prepared(tmp_path, source)
    message = str(caught.value)
    assert file.name in message
    assert not any(word in message for word in ("secret", "polars", "infer_schema", "truncate", "pyarrow"))


@pytest.mark.parametrize("write", [table, hugging_face, recbole])
def test_all_faults_come_at_once(tmp_path: Path, write: Writer) -> None:
    source = write(tmp_path, *shop())
    source |= {
        "item_columns": {"title": "titel"},
        "interaction_columns": {"user": "user", "timestamp": "timestamps"},
    }
    with pytest.raises(SourceError) as caught:
        prepared(tmp_path, source)
    message = str(caught.value)
    assert message.startswith("3 faults:\n")
    assert all(hint in message for hint in ("mean 'user_id'", "mean 'timestamp'", "mean 'title'"))
    assert all(key in message for key in ("item_columns.title", "columns.user=", "columns.timestamp="))


def test_both_missing_files_are_named_with_the_likeliest(tmp_path: Path) -> None:
    table(tmp_path, *shop())
    (tmp_path / "items.csv").rename(tmp_path / "catalogue.csv")
    (tmp_path / "interactions.csv").rename(tmp_path / "zz_2024.csv")
    (tmp_path / "interaction.md").write_text("notes")
    with pytest.raises(SourceError) as caught:
        prepared(tmp_path, {"type": "table"})
    first, log, items = str(caught.value).splitlines()
    assert first == "2 faults:"
    assert "interactions.csv does not exist; did you mean 'zz_2024.csv'?" in log
    assert "items.csv does not exist; did you mean 'catalogue.csv'?" in items


def test_another_delimiter_is_named_once(tmp_path: Path) -> None:
    table(tmp_path, *shop())
    for name in ("items.csv", "interactions.csv"):
        (tmp_path / name).write_text((tmp_path / name).read_text().replace(",", ";"))
    with pytest.raises(SourceError, match=r'(?s)2 faults:.*interactions.*set data\.source\.delimiter=";"'):
        prepared(tmp_path, {"type": "table"})
    assert len(prepared(tmp_path, {"type": "table", "delimiter": ";"}).catalog) == 6


def case(name: str, **changes: Any) -> PreparedData:
    """A case of the shared folder, prepared as its configuration says."""
    if not (CASES / "config.yaml").is_file():
        pytest.skip("the shared cases are not at CROSSREC_SHARED")
    content = yaml.safe_load((CASES / "config.yaml").read_text())["data"]
    content["source"] |= changes
    return Dataset.from_config(validate(DataConfig, {**content, "root": str(CASES / name)}, "test")).split()


def test_shared_cases() -> None:
    prices = case("price-text")
    assert prices.catalog.column("price").to_pylist()[:5] == [12.99, None, 1299.0, 15.0, 19.9]
    assert details(prices)["unreadable price"].startswith("40 can't be read, such as 'from 7.99'")
    assert details(case("guest-nan"))["missing id"] == "user id 648 ('nan' 648), item id 0"
    assert case("float-user-ids-mixed").summary()["users"] == 150
    assert case("extra-columns").catalog.column("brand_code").to_pylist()[3] == "003"
    with pytest.raises(InteractionDataError, match=r"several units.*data\.source\.time_unit"):
        case("time-mixed-units")
    german = case("excel-de-iso", delimiter=";")
    assert german.catalog.column("price").to_pylist()[:2] == [5.0, 5.5]
    assert details(german)["unreadable rating"] == "0 can't be read"


def test_the_shared_case_of_hugging_face(tmp_path: Path) -> None:
    if not (CASES / "hf-csv").is_dir():
        pytest.skip("the shared cases are not at CROSSREC_SHARED")
    source = {
        "type": "hf_dataset",
        "items": {"path": "items.csv"},
        "interactions": {"path": "interactions.csv"},
    }
    content = {"root": str(CASES / "hf-csv"), "cache_dir": str(tmp_path), "source": source}
    catalog = Dataset.from_config(validate(DataConfig, content, "test")).split().catalog
    titles = catalog.column("title").to_pylist()
    assert titles[3:8] == ["NA", "null", "None", "nan", "N/A"]
    assert catalog.column("categories").to_pylist()[3] == ["003"]
