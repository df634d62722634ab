"""Points in time, in configurations and in messages."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

_EARLIEST_SHOWN_AS_DATE = 1e8
"""Seconds (1973). Smaller numbers are an order, not a date, in every log that we know."""


def to_seconds(value: Any) -> Any:
    """Seconds since 1970 of a date, a datetime or ISO text; whatever else it is stays as it is.

    Text, dates and datetimes without a zone are taken as UTC.

    Raises:
        ValueError: text that is neither a number nor ISO 8601.
    """
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass  # not a number, so it must be ISO text
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(f"'{value}' is neither a number nor an ISO date or datetime") from error
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return value


TimePoint = Annotated[float, BeforeValidator(to_seconds)]
"""A config field that takes seconds, an ISO date or an ISO datetime, and holds seconds."""


def show_time(seconds: float) -> str:
    """ISO date and time in UTC, or the plain number where the source has only an order."""
    if _EARLIEST_SHOWN_AS_DATE <= seconds < datetime(9999, 1, 1, tzinfo=UTC).timestamp():
        return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    return f"{seconds:g}"
