"""``crossrec off-policy``: a log's file gives the estimators' own values, and its faults are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.cli.commands import main
from crossrec.exploration.bandit_log import read_bandit_log
from crossrec.exploration.off_policy import (
    LoggedLists,
    PolicyValue,
    Settings,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)

T, K, USERS = 40, 3, 15


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """A log of lists by user, as the estimators take it."""
    generator = np.random.default_rng(0)
    return {
        "reward": generator.integers(0, 2, (T, K)).astype(float),
        "propensity": generator.uniform(0.2, 0.9, (T, K)),
        "target": generator.uniform(0.1, 0.9, (T, K)),
        "predicted": generator.uniform(0, 1, (T, K)),
        "expected": generator.uniform(0, K, T),
        "user": generator.integers(0, USERS, T),
        "item": generator.integers(0, 9, (T, K)),
    }


def frame(arrays: dict[str, np.ndarray]) -> pl.DataFrame:
    """The same log as rows, in any order."""
    list_R, place_R = np.repeat(np.arange(T), K), np.tile(np.arange(K), T)
    columns: dict[str, Any] = {
        "list_id": [f"list {number}" for number in list_R],
        "rank": place_R + 1,
        "user_id": [f"u{user}" for user in arrays["user"][list_R]],
        "item_id": [f"i{item}" for item in arrays["item"].ravel()],
        "expected": arrays["expected"][list_R],
    }
    columns |= {name: arrays[name].ravel() for name in ("reward", "propensity", "target", "predicted")}
    return pl.DataFrame(columns)[np.random.default_rng(1).permutation(T * K)]


def estimates(arrays: dict[str, np.ndarray], target: np.ndarray, settings: Settings) -> list[PolicyValue]:
    logged = LoggedLists(arrays["reward"], arrays["propensity"], arrays["user"])
    model = arrays["predicted"], arrays["expected"]
    return [
        inverse_propensity(logged, logged.propensities_TK, Settings()),
        inverse_propensity(logged, target, settings),
        self_normalised(logged, target, settings),
        doubly_robust(logged, target, *model, settings),
    ]


def test_the_command_gives_the_estimators_values(
    arrays: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame(arrays).write_csv(tmp_path / "log.csv")
    out = tmp_path / "found.json"
    assert main(["off-policy", str(tmp_path / "log.csv"), "--cap", "1.5", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert list(found) == ["logged", "IPS", "SNIPS", "DR"]
    for value, expected in zip(
        found.values(), estimates(arrays, arrays["target"], Settings(1.5)), strict=True
    ):
        assert value["value"] == pytest.approx(expected.value)
        assert value["ci95"] == pytest.approx(expected.ci95)
        assert value["effective"] == pytest.approx(expected.effective)
        assert value["n"] == T
    assert found["logged"]["value"] == pytest.approx(arrays["reward"].sum(1).mean())
    printed = capsys.readouterr().out
    assert f"{found['SNIPS']['value']:.4f}" in printed
    assert "cut at 1.5" in printed.replace("\n", " ")
    assert f"over {len(np.unique(arrays['user']))} users" in printed


def test_rows_without_lists_are_single_slots(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    rows = frame(arrays).select("reward", "propensity", "target")
    rows.write_parquet(tmp_path / "log.parquet")
    found = read_bandit_log(tmp_path / "log.parquet").values(Settings(interval="bootstrap"))
    logged = LoggedLists(rows["reward"].to_numpy(), rows["propensity"].to_numpy())
    expected = self_normalised(logged, rows["target"].to_numpy(), Settings(interval="bootstrap"))
    assert list(found) == ["logged", "IPS", "SNIPS"]
    assert found["SNIPS"] == expected


def test_lists_of_a_deterministic_policy_stand_for_probabilities(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    frame(arrays).drop("target").write_csv(tmp_path / "log.csv")
    shown = np.random.default_rng(2).integers(0, 9, (USERS, K + 1))
    pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in range(USERS) for _ in range(K + 1)],
            "item_id": [f"i{item}" for item in shown.ravel()],
            "rank": np.tile(np.arange(K + 1), USERS) + 1,
            "score": np.zeros(USERS * (K + 1)),
        }
    ).write_parquet(tmp_path / "lists.parquet")
    log = read_bandit_log(tmp_path / "log.csv", tmp_path / "lists.parquet")
    target = (arrays["item"] == shown[arrays["user"]][:, :K]).astype(float)
    assert 0 < target.sum() < target.size
    found = list(log.values().values())
    for value, expected in zip(found, estimates(arrays, target, Settings()), strict=True):
        assert value.value == pytest.approx(expected.value)
        assert value.ci95 == pytest.approx(expected.ci95)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"propensity": 1.4}, "row 3: column 'propensity' holds 1.4: a propensity is above 0 and at most 1"),
        ({"propensity": 0.0}, "row 3: column 'propensity' holds 0.0"),
        ({"target": -0.1}, "row 3: column 'target' holds -0.1"),
        ({"reward": float("inf")}, "row 3: column 'reward' holds inf: it is not finite"),
        ({"reward": None}, "row 3: column 'reward' holds None, expected Float64"),
        ({"rank": 0}, "row 3: column 'rank' holds 0: ranks start at 1"),
        ({"rank": 1}, "row 3: column 'rank' holds 1: this place of its list has a row already"),
        ({"list_id": "new"}, "column 'list_id' holds 'list 0': its list lacks one of the places 1 to 3"),
        ({"user_id": "nobody"}, "row 3: column 'user_id' holds 'nobody': other rows of its list differ"),
        ({"expected": 99.0}, "row 3: column 'expected' holds 99.0: other rows of its list differ"),
    ],
)
def test_a_wrong_value_is_named_with_file_row_and_column(
    changes: dict[str, Any],
    message: str,
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ((name, value),) = changes.items()
    rows = frame(arrays).sort(pl.col("list_id").str.slice(5).cast(pl.Int64), "rank").to_dicts()
    rows[2][name] = value
    path = tmp_path / "log.parquet"
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    assert main(["off-policy", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert message in error


def test_what_is_missing_is_named(
    arrays: dict[str, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, path, lists = frame(arrays), tmp_path / "log.csv", tmp_path / "lists.csv"

    def message(log: pl.DataFrame, *arguments: str) -> str:
        log.write_csv(path)
        assert main(["off-policy", str(path), *arguments]) == 2
        return capsys.readouterr().err

    assert "lacks the column 'propensity'" in message(rows.drop("propensity"))
    assert "lacks the column 'target'" in message(rows.drop("target"))
    assert "needs both columns" in message(rows.drop("expected"))
    assert "need the column 'list_id'" in message(rows.drop("list_id"))
    assert "this place of its list has a row already" in message(rows.drop("rank"))
    assert "the file has no rows" in message(rows.head(0))
    assert "holds one user only" in message(rows.with_columns(pl.lit("u0").alias("user_id")))
    assert "no such lists file" in message(rows.drop("target"), "--lists", str(lists))
    users = [f"u{user}" for user in range(USERS)]
    pl.DataFrame({"user_id": users, "item_id": "i0", "rank": 1}).write_csv(lists)
    assert "has a column 'target' already" in message(rows, "--lists", str(lists))
    assert "its lists have 1 places" in message(rows.drop("target"), "--lists", str(lists))
    pl.DataFrame({"user_id": users[1:], "item_id": "i0", "rank": 3}).write_csv(lists)
    assert f"{lists} has no list of this user" in message(rows.drop("target"), "--lists", str(lists))
