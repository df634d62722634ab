"""A list's own rank, score and item id beside a catalogue that has columns of the same names."""

from __future__ import annotations

import numpy as np

from crossrec.data.catalog import Catalog
from crossrec.serving.results import Recommendations
from crossrec.types import ABSENT


def listed(**columns: list[object]) -> Recommendations:
    catalog = Catalog.from_columns({"item_id": ["a", "b", "c"], "title": ["A", "B", "C"], **columns})
    return Recommendations.of(np.array([2, 0, ABSENT]), np.array([0.5, 0.25, -np.inf]), catalog)


def test_columns_of_the_catalog_never_take_the_place_of_a_list_s_own() -> None:
    found = listed(rank=[70, 80, 90], score=[7.0, 8.0, 9.0], brand=["x", "y", "z"])
    first, second = found.details()
    assert (first["rank"], first["item_id"], first["score"]) == (1, "c", 0.5)
    assert (second["rank"], second["item_id"], second["score"]) == (2, "a", 0.25)
    assert (first["item_rank"], first["item_score"], first["brand"]) == (90, 9.0, "z")
    frame = found.to_frame()
    assert frame["rank"].to_list() == [1, 2]
    assert frame["score"].to_list() == [0.5, 0.25]
    assert "<b>1. C</b>" in found._repr_html_()


def test_a_renamed_column_takes_no_other_column_s_name() -> None:
    (first, _) = listed(rank=[70, 80, 90], item_rank=[700, 800, 900]).details()
    assert (first["rank"], first["item_rank"], first["item_item_rank"]) == (1, 900, 90)
