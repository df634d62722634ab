"""Schedules: off outside their window, rising over the ramp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.augment.base import Schedule
from crossrec.config import validate
from crossrec.types import ConfigError

SHARE = st.floats(0, 1)


def test_is_always_on_by_default() -> None:
    assert [Schedule().at(progress) for progress in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_window_and_ramp() -> None:
    schedule = Schedule(start=0.2, stop=0.8, ramp=0.4)
    found = [schedule.at(progress) for progress in (0.1, 0.2, 0.4, 0.6, 0.79, 0.8, 1.0)]
    assert found == pytest.approx([0, 0, 0.5, 1, 1, 0, 0])


@given(start=SHARE, ramp=SHARE, progress=SHARE, later=SHARE)
def test_stays_between_0_and_1_and_never_falls_before_its_stop(
    start: float, ramp: float, progress: float, later: float
) -> None:
    if start + ramp > 1 or start >= 1:
        return
    schedule = Schedule(start=start, ramp=ramp)
    early, late = sorted((progress, later))
    assert 0 <= schedule.at(early) <= schedule.at(late) <= 1


@pytest.mark.parametrize("wrong", [{"start": 0.5, "stop": 0.5}, {"start": 0.8, "ramp": 0.5}, {"stop": 2}])
def test_a_window_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"stop|ramp"):
        validate(Schedule, wrong, "test")
