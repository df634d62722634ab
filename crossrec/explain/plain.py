"""Arrays and records as JSON takes them."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

DIGITS = 6
"""Significant digits: more is noise of float32."""


def plain(value: Any) -> Any:
    """Nested lists, dictionaries and numbers.

    Args:
        value: an array, a record, a number, a text or None.
    """
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}")
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(entry) for name, entry in asdict(value).items()}
    return value
