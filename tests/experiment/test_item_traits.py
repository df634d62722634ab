"""What rerankers are told of items: unit vectors in every space, dense categories, plain columns."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from crossrec.data.catalog import Catalog, context_columns
from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.experiment.prepared import PreparedExperiment


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.from_columns(
        {
            "item_id": ["a", "b", "c"],
            "title": ["A", "B", None],
            "categories": [["x"], ["x", "y"], []],
            "price": [1.5, None, 3.0],
            "brand": ["x", None, "y"],
            "in_stock": [True, False, None],
            "tags": [["t"], [], None],
            "image_bytes": [b"1", None, None],
        }
    )


def test_columns_are_scalars_with_none_where_not_known(catalog: Catalog) -> None:
    found = {name: values.tolist() for name, values in context_columns(catalog).items()}
    assert found == {
        "price": [1.5, None, 3.0],
        "brand": ["x", None, "y"],
        "in_stock": [True, False, None],
    }


def test_vectors_are_of_unit_length_or_zero(catalog: Catalog) -> None:
    text_ND = np.array([[1, 0], [0, 0], [0.6, 0.8]], np.float32)
    image_ND = np.array([[0, 1], [0, 0], [0, 0]], np.float32)
    both_ND = np.concatenate([text_ND, image_ND], 1)
    categories = csr_matrix(np.array([[1, 0], [1, 1], [0, 0]], np.float32))
    vectors = {"text": text_ND, "image": image_ND, CONTENT: both_ND}
    items = ItemTable(np.array([3, 1, 0]), categories, vectors, context_columns(catalog))
    prepared = PreparedExperiment(cast("Any", None), cast("Any", None), cast("Any", None))
    prepared.__dict__["items"] = items
    model_ND = torch.tensor([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]])
    found = prepared.items_of(cast("Any", SimpleNamespace(item_vectors=lambda: model_ND)))
    assert found.spaces == ["text", "image", "content", "model", "category"]
    assert found.unit("content").norm(dim=1).tolist() == pytest.approx([1, 0, 1])
    assert found.unit("model").norm(dim=1).tolist() == pytest.approx([1, 1, 0])
    torch.testing.assert_close(found.unit("model")[0], torch.tensor([0.6, 0.8]))
    torch.testing.assert_close(found.categories_NG, torch.tensor([[1.0, 0], [1, 1], [0, 0]]))
    assert found.n_items == 3
    assert model_ND[0].tolist() == [3.0, 4.0]
