"""Features of items: lazy spaces, rows that stay together, and errors that list what there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from crossrec.data.item_table import CATEGORY, ItemTable, LazyMapping, VectorSpace
from crossrec.types import InputError

N = 5
COUNTS = np.array([9, 5, 3, 0, 1])
CATEGORIES = csr_matrix(np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0]], np.float32))
VECTORS = np.array([[3, 4], [0, 2], [1, 0], [0, 0], [-5, 0]], np.float32)
PRESENT = np.array([True, True, True, False, True])


def table(**changes: object) -> ItemTable:
    parts: dict[str, object] = {
        "spaces": {"text": VectorSpace(VECTORS, PRESENT)},
        "columns": {"price": np.array([1.0, 2.0, None, 4.0, 5.0], dtype=object)},
        "texts": lambda rows: [f"text {row}" for row in rows],
    }
    return ItemTable(COUNTS, CATEGORIES, **{**parts, **changes})  # type: ignore[arg-type]


def test_unit_vectors_have_length_one_or_none() -> None:
    unit_ND = table().unit("text")
    torch.testing.assert_close(unit_ND[0], torch.tensor([0.6, 0.8]))
    assert unit_ND.norm(dim=1).tolist() == pytest.approx([1, 1, 1, 0, 1])
    assert table().unit(CATEGORY)[1].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


def test_rows_stay_together() -> None:
    rows = np.array([4, 0, 3])
    part = table().take(rows)
    assert part.train_counts.tolist() == [1, 9, 0]
    assert part.categories_NG.tolist() == [[1, 0], [1, 0], [0, 0]]
    assert np.array_equal(part.vectors("text"), VECTORS[rows])
    assert part.present("text").tolist() == [True, True, False]
    assert part.columns["price"].tolist() == [5.0, 1.0, 4.0]
    assert part.require_texts("test") == ["text 4", "text 0", "text 3"]
    assert torch.equal(part.unit("text"), table().unit("text")[rows])


def test_nothing_is_computed_before_it_is_used() -> None:
    made: list[str] = []

    def make() -> VectorSpace:
        made.append("image")
        return VectorSpace(VECTORS, PRESENT)

    lazy = table(spaces=LazyMapping({"image": make}))
    part = lazy.take(np.arange(2)).to("cpu").with_space("model", torch.eye(2))
    assert part.spaces == ["image", "model", CATEGORY]
    assert part.require("image", "test") == "image"
    assert made == []
    part.unit("image")
    part.unit("image")
    lazy.unit("image")
    assert made == ["image"]
    assert torch.equal(part.unit("model"), torch.eye(2))


def test_errors_list_what_there_is() -> None:
    with pytest.raises(InputError, match=r"rerank needs .* 'image'; there are category, text"):
        table().require("image", "rerank")
    with pytest.raises(InputError, match="needs item categories, but no item"):
        ItemTable(COUNTS).require(CATEGORY, "xquad")
    with pytest.raises(InputError, match="needs item texts, but no item"):
        ItemTable(COUNTS).require_texts("content")
    with pytest.raises(ValueError, match="2 rows for 5 items"):
        ItemTable(COUNTS, CATEGORIES[:2])
    with pytest.raises(ValueError, match="'text' has 4 rows for 5 items"):
        table(spaces={"text": VectorSpace(VECTORS[1:], PRESENT[1:])}).vectors("text")
    with pytest.raises(ValueError, match="5 vectors and 4 mask entries"):
        VectorSpace(VECTORS, PRESENT[1:])
