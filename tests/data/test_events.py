"""Event types: filtered, weighted and chosen as targets; without them nothing changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.config import validate
from crossrec.data.catalog import Catalog
from crossrec.data.cleaning import CleaningConfig, clean
from crossrec.data.cleaning_report import CleaningReport
from crossrec.data.identity import DataIdentity
from crossrec.data.interactions import ClickLog, InteractionDataError, Interactions
from crossrec.data.prepare import DataConfig, divide
from crossrec.data.sources.base import RawData
from crossrec.data.sources.columns import InteractionColumns
from crossrec.types import ConfigError

ROWS = [
    ("a", "i1", 1.0, "view"),
    ("a", "i1", 2.0, "purchase"),
    ("a", "i2", 3.0, "cart"),
    ("a", "i3", 4.0, "purchase"),
    ("a", "i4", 5.0, "view"),
    ("a", "i5", 6.0, "purchase"),
    ("a", "i6", 7.0, None),
    ("b", "i1", 1.0, "view"),
    ("b", "i2", 2.0, " purchase "),
]


def raw(rows: list[tuple[str, str, float, str | None]]) -> RawData:
    names = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Float64, "event": pl.String}
    frame = pl.DataFrame(rows, schema=names, orient="row")
    catalog = Catalog.from_columns({"item_id": [f"i{i}" for i in range(10)]})
    return RawData("shop", "", catalog, Interactions(frame))


def cleaned(**config: Any) -> tuple[ClickLog, CleaningReport]:
    _, clicks, report = clean(raw(ROWS), validate(CleaningConfig, config, "test"))
    return clicks, report


def step(report: CleaningReport) -> tuple[int, str]:
    return next((s.dropped, s.detail) for s in report.steps if s.name == "other event")


def test_without_event_options_the_column_changes_nothing() -> None:
    clicks, report = cleaned()
    assert len(clicks.sequences.items) == len(ROWS)
    assert clicks.sequences.weights is None
    assert clicks.targets_T is None
    assert all(s.name != "other event" for s in report.steps)


def test_events_without_a_weight_are_dropped_and_counted() -> None:
    clicks, report = cleaned(events={"view": 1, "purchase": 5})
    assert clicks.sequences.items.tolist() == [1, 1, 3, 4, 5, 1, 2]
    assert clicks.sequences.weights is not None
    assert clicks.sequences.weights.tolist() == [1, 5, 5, 1, 5, 1, 5]
    assert step(report) == (2, "kept: view 3, purchase 4; dropped: cart 1, without an event 1")
    assert report.steps[0].name == "other event"


def test_weights_of_one_are_no_weights() -> None:
    clicks, _ = cleaned(events={"view": 1, "purchase": 1})
    assert clicks.sequences.weights is None


def test_targets_are_chosen_among_all_events() -> None:
    clicks, report = cleaned(target_events=["purchase"])
    assert len(clicks.sequences.items) == len(ROWS)
    assert clicks.targets_T is not None
    assert clicks.targets_T.tolist() == [False, True, False, True, False, True, False, False, True]
    assert step(report)[0] == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"events": {"buy": 1}},
            r"events: no click has the event 'buy'; .* purchase \(4\), view \(3\)",
        ),
        ({"target_events": ["Purchase"]}, r"target_events: no click has the event 'Purchase'"),
    ],
)
def test_an_unknown_event_is_an_error_that_names_the_values(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InteractionDataError, match=message):
        cleaned(**config)


def test_events_of_a_log_without_any_are_an_error() -> None:
    shop = raw(ROWS)
    shop = RawData("shop", "", shop.catalog, Interactions(shop.interactions.frame.drop("event")))
    with pytest.raises(InteractionDataError, match=r"interaction_columns\.event"):
        clean(shop, CleaningConfig(events={"view": 1}))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"events": {"view": 1}, "target_events": ["purchase"]}, "'purchase', which events drops"),
        ({"events": {"view": 0}}, "greater than 0"),
        ({"events": {}}, "at least 1"),
    ],
)
def test_unusable_options_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(CleaningConfig, config, "test")


def test_another_event_at_the_same_time_is_no_duplicate_and_has_a_fixed_place() -> None:
    rows: list[tuple[str, str, float, str | None]]
    rows = [("a", "i1", 1.0, "purchase"), ("a", "i1", 1.0, "view"), ("a", "i1", 1.0, "view")]
    config = CleaningConfig(events={"view": 1, "purchase": 5})
    for given in (rows, rows[::-1]):
        _, clicks, report = clean(raw(given), config)
        assert clicks.sequences.weights is not None
        assert clicks.sequences.weights.tolist() == [1, 5]
        assert next(s for s in report.steps if s.name == "exact duplicate").dropped == 1
    _, clicks, _ = clean(raw(ROWS), config.model_copy(update={"repeats": "drop"}))
    assert clicks.sequences.items.tolist() == [1, 1, 3, 4, 5, 1, 2]  # a purchase repeats no view


def divided(split: dict[str, Any], **cleaning: Any) -> Any:
    content = {"cleaning": {"target_events": ["purchase"], **cleaning}, "split": split}
    config = validate(DataConfig, content, "test")
    _, clicks, _ = clean(raw(ROWS), config.cleaning)
    return divide(clicks, 10, config, repeats=False)


def test_leave_one_out_holds_out_the_last_target_events() -> None:
    split = divided({"type": "leave_one_out"})
    (user,) = split.test.users
    # i3 validates, i5 tests; both are predicted from every event before them; b has one purchase only.
    assert (split.valid.targets.row(0).tolist(), split.test.targets.row(0).tolist()) == ([3], [5])
    assert split.histories(split.valid).row(0).tolist() == [1, 1, 2]
    assert split.histories(split.test).row(0).tolist() == [1, 1, 2, 3, 4]
    assert split.train.row(user).tolist() == [1, 1, 2]
    assert split.train.row(1 - user).tolist() == [1, 2]
    assert split.protocol.endswith("targets are events of the type purchase only")


@pytest.mark.parametrize("targets", ["all", "next"])
def test_a_window_asks_for_target_events_only(targets: str) -> None:
    split = divided({"type": "temporal", "unit": "time", "valid_from": 3, "test_from": 5, "targets": targets})
    assert (split.valid.targets.row(0).tolist(), split.test.targets.row(0).tolist()) == ([3], [5])
    assert split.histories(split.test).row(0).tolist() == [1, 1, 2, 3]
    assert split.excluded["test: clicks of other events"] == (2 if targets == "all" else 0)


def test_a_window_without_a_target_event_has_no_query() -> None:
    rows = [("c", "i1", 1.0, "view"), ("c", "i2", 3.0, "view"), ("c", "i7", 5.0, "view")]
    split = {"type": "temporal", "unit": "time", "valid_from": 3, "test_from": 5, "targets": "next"}
    config = validate(DataConfig, {"cleaning": {"target_events": ["purchase"]}, "split": split}, "test")
    _, clicks, _ = clean(raw([*ROWS, *rows]), config.cleaning)
    found = divide(clicks, 10, config, repeats=False)
    assert (found.valid.targets.items.tolist(), found.test.targets.items.tolist()) == ([3], [5])
    assert found.excluded["test: queries without a new target"] == 1


def test_other_weights_are_other_training_clicks() -> None:
    found = []
    for events in (None, {"view": 1, "cart": 1, "purchase": 1}, {"view": 1, "cart": 1, "purchase": 2}):
        clicks, _ = cleaned(**({} if events is None else {"events": events}), min_time=0, max_time=6.5)
        split = divide(
            clicks, 10, validate(DataConfig, {"split": {"type": "leave_one_out"}}, "x"), repeats=False
        )
        ids = np.array([f"i{i}" for i in range(10)], dtype=object)
        found.append(DataIdentity.of(ids, clicks.user_ids, split).digests["train"])
    assert found[0] == found[1] != found[2]


def test_the_key_of_version_0_1_is_read() -> None:
    assert validate(InteractionColumns, {"label": None}, "x").event is None
    assert validate(InteractionColumns, {"label": "kind"}, "x").event == "kind"
    with pytest.raises(ConfigError, match="unknown key 'label'"):
        validate(InteractionColumns, {"label": "kind", "event": "kind"}, "x")
