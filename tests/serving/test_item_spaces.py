"""Spaces of a loaded recommender: items that were added have no co-clicks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from crossrec.data.item_table import BEHAVIOUR, VectorSpace
from crossrec.experiment.config import SpacesConfig
from crossrec.serving.items import ItemSpaces
from crossrec.types import InputError


def test_added_items_have_no_co_clicks() -> None:
    vectors, known = np.eye(3, 2, dtype=np.float32), np.array([True, True, False])
    contents: list[Any] = [SimpleNamespace(catalog="abc")]
    spaces = ItemSpaces(SpacesConfig(), contents, [], lambda: VectorSpace(vectors, known))
    assert spaces.names == [BEHAVIOUR]
    assert spaces.table(BEHAVIOUR).present_N.tolist() == [True, True, False]
    contents.append(SimpleNamespace(catalog="de"))
    grown = spaces.table(BEHAVIOUR)
    np.testing.assert_array_equal(grown.vectors_ND, np.pad(vectors, ((0, 2), (0, 0))))
    assert grown.present_N.tolist() == [True, True, False, False, False]
    assert spaces.table(BEHAVIOUR) is grown


def test_a_folder_without_them_has_no_such_space() -> None:
    spaces = ItemSpaces(SpacesConfig(), cast("Any", [SimpleNamespace(catalog="abc")]), [])
    assert spaces.names == []
    with pytest.raises(InputError, match="'behaviour'"):
        spaces.table(BEHAVIOUR)
