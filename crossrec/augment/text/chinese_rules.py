# ruff: noqa: RUF001 - Chinese punctuation and curly quotes
"""Rules that build a Chinese sentence another way and keep its meaning."""

from __future__ import annotations

import re

_PAIRS = (
    # Both halves change together: 因为 goes with 所以 and 由于 with 因此, as grammars have them.
    (re.compile(r"因为([^，。；]{2,})，所以"), r"由于\1，因此"),
    (re.compile(r"由于([^，。；]{2,})，因此"), r"因为\1，所以"),
    (re.compile(r"虽然([^，。；]{2,})，但是?"), r"尽管\1，然而"),
    (re.compile(r"尽管([^，。；]{2,})，然而"), r"虽然\1，但是"),
    (re.compile(r"如果([^，。；]{2,})，那么"), r"要是\1，那么"),
    (re.compile(r"(?:^|(?<=[，；。]))当([^，。；当]{2,}?)的?时候?，"), r"在\1的时候，"),
    (re.compile(r"(?<=，)并且(?=\S)"), "而且"),
    (re.compile(r"(?<=，)然而(?=[^，])"), "但是"),
    (re.compile(r"(?<=，)但是(?=[^，])"), "不过"),
)


def connectives_changed(sentence: str) -> list[str]:
    """Every sentence that one rule makes of this one: a connective or a pair of them becomes its equal."""
    made = [pattern.sub(replacement, sentence) for pattern, replacement in _PAIRS]
    return [new for new in dict.fromkeys(made) if new != sentence]
