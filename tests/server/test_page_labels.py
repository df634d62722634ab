"""Labels of the page: nouns of one to three words, as the interface's users know them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import crossrec

PAGE = Path(crossrec.__file__).parent / "server" / "static" / "index.html"


class Labels(HTMLParser):
    """First text inside every element with an id, a ``for``, or a ``data-view``, and of legends."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._waiting: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        key = named.get("for") or (named.get("id") if tag != "label" else None) or named.get("data-view")
        self._waiting = [str(key or tag)]

    def handle_data(self, data: str) -> None:
        if data.strip() and self._waiting:
            self.found.setdefault(self._waiting.pop(), re.sub(r"\s+", " ", data.strip()))


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("who-title", "User"),
        ("random-user", "Random user"),
        ("how-title", "Options"),
        ("rerank", "Reranker"),
        ("space", "Similarity"),
        ("legend", "Modalities"),
        ("k", "List length"),
        ("plain", "Original"),
        ("diverse", "Reranked"),
        ("figures-title", "Test metrics"),
    ],
)
def test_labels_are_the_usual_words(key: str, label: str) -> None:
    labels = Labels()
    labels.feed(PAGE.read_text(encoding="utf-8"))
    assert labels.found[key] == label
