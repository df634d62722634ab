"""``crossrec init``: the written file is commented, valid, and trains unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.cli.init import init
from crossrec.cli.runs import train
from crossrec.config import load_config
from crossrec.data.guess.roles import Entry
from crossrec.data.splits.leave_one_out import LeaveOneOutSplitter
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.first_config import render, yaml_value
from crossrec.strict_yaml import parse_yaml

FIRST = 1_650_000_000


def write_shop(root: Path, step: int = 86_400) -> None:
    """Semicolons, milliseconds, events; no texts but names, no pictures."""
    rng = np.random.default_rng(0)
    root.mkdir()
    names = pl.DataFrame(
        {"ArtNr": [f"{i:03}" for i in range(25)], "Name": [f"Hut Größe {i}" for i in range(25)]}
    )
    names.write_csv(root / "artikel.csv", separator=";")
    rows = [
        (f"K{user}", f"{rng.integers(0, 25):03}", 1000 * (FIRST + step * day + user), event)
        for user in range(40)
        for day, event in enumerate(["Ansicht", "Ansicht", "Kauf", "Warenkorb", "Ansicht", "Kauf"])
    ]
    log = pl.DataFrame(rows, schema=["Kunde", "ArtNr", "Zeit", "Aktion"], orient="row")
    log.write_csv(root / "vorgaenge.csv", separator=";")


def test_the_file_trains_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shop(Path("mein laden"))
    assert init(["mein laden"]) == 0
    printed = capsys.readouterr().out
    path = Path("mein_laden.yaml")
    text = path.read_text()
    for said in ("interaction_columns.timestamp", "Zeit", "Checked on the data: 40 users, 25 items"):
        assert said in printed
    for line in (
        'delimiter: ";"',
        "timestamp: Zeit ",
        "time_unit: ms ",
        "events: {Ansicht: 1, Warenkorb: 3, Kauf: 5} ",
        "# target_events: [Kauf] ",
    ):
        (found,) = [one for one in text.splitlines() if one.strip().startswith(line)]
        assert "#" in found.removeprefix(line) or line.startswith("delim")
    quick = ["trainer.epochs=1", "model.text=null", "spaces.text=null", "evaluation.n_bootstrap=0"]
    assert train([str(path), *quick, "model.width=8"]) == 0
    assert path.read_text() == text
    run = json.loads(Path("runs/mein_laden/data.json").read_text())
    assert run["counts"]["clicks"] == 240
    assert "other event" in [step["name"] for step in run["cleaning"]["steps"]]


def test_an_existing_file_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shop(tmp_path / "shop")
    out = tmp_path / "mine.yaml"
    out.write_text("name: mine")
    assert init([str(tmp_path / "shop"), "--out", str(out)]) == 2
    assert f"{out} exists" in capsys.readouterr().err
    assert out.read_text() == "name: mine"


def test_data_that_cannot_be_prepared_are_an_error_and_the_file_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shop(tmp_path / "shop")
    log = pl.read_csv(
        tmp_path / "shop" / "vorgaenge.csv", separator=";", schema_overrides={"ArtNr": pl.String}
    )
    seconds = pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.col("Zeit") // 1000).otherwise(pl.col("Zeit"))
    log.with_columns(Zeit=seconds).write_csv(tmp_path / "shop" / "vorgaenge.csv", separator=";")
    out = tmp_path / "shop.yaml"
    assert init([str(tmp_path / "shop"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "is written, but the data can't be prepared with it" in said
    assert "in several units" in said
    load_config(ExperimentConfig, out)


def test_one_time_for_all_is_divided_by_user(tmp_path: Path) -> None:
    write_shop(tmp_path / "shop", step=0)
    log = pl.read_csv(
        tmp_path / "shop" / "vorgaenge.csv", separator=";", schema_overrides={"ArtNr": pl.String}
    )
    log.with_columns(Zeit=pl.lit(1000 * FIRST)).write_csv(tmp_path / "shop" / "vorgaenge.csv", separator=";")
    out = tmp_path / "shop.yaml"
    assert init([str(tmp_path / "shop"), "--out", str(out)]) == 0
    assert isinstance(load_config(ExperimentConfig, out).data.split, LeaveOneOutSplitter.Options)


AMBIGUOUS = ["no", "007", "1e3", "a: b", "a #b", "null", "2020-01-01", "12:30", "- a", "ö", "\t", "~"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.sampled_from([0.5, 1e-4, *AMBIGUOUS])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_values_come_back_from_yaml(value: Any) -> None:
    assert parse_yaml(f"key: {yaml_value(value)}", "test")["key"] == value


def test_sections_without_a_key_are_comments() -> None:
    entries = [
        Entry("a.b.c", 1, "one"),
        Entry("a.b.d", "x y", "", active=False),
        Entry("a.e.f", [1], "no\nline break", active=False),
        Entry("g", None, ""),
    ]
    lines = list(render(entries))
    expected = [
        "a:",
        "  b:",
        "    c: 1      # one",
        "    # d: x y",
        "  # e:",
        "    # f: [1]  # no line break",
    ]
    assert lines == [*expected, "g: null"]
    assert parse_yaml("\n".join(lines), "test") == {"a": {"b": {"c": 1}}, "g": None}
