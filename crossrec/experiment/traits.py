"""What diversity losses and rerankers may know of a catalogue's items."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from crossrec.data.catalog import REQUIRED
from crossrec.experiment.spaces import space_names
from crossrec.losses.diversity.base import ItemInfo
from crossrec.rerank.base import ItemTraits

if TYPE_CHECKING:
    from crossrec.data.catalog import Catalog
    from crossrec.experiment.assembly import Setting
    from crossrec.model.recommender import NeuralRecommender

Value = TypeVar("Value")

MODEL_SPACE, CONTENT_SPACE = "model", "content"
PRICE = "price"


def item_traits(setting: Setting, recommender: NeuralRecommender) -> ItemTraits:
    """Training clicks, categories, vectors and context columns, on the recommender's device.

    Spaces are those in which lists are measured (``text``, ``image``, and ``content`` for both side by
    side), which don't hang on the recommender, and ``model`` for the recommender's own item vectors.
    Columns are the price and whatever the catalogue holds besides its fixed columns, if it is a number, a
    text or true and false.

    Args:
        setting: of the data; any run's on the same data will do.
        recommender: trained.
    """
    return _traits(setting, _unit(recommender.item_vectors()))


def untrained_traits(setting: Setting) -> ItemTraits:
    """The same before training and encoding, with zeros in every space: do rerankers find what they need?"""
    counts = setting.data.split.train_counts
    zeros = {**_zeros(setting), MODEL_SPACE: torch.zeros(len(counts), 1)}
    return ItemTraits(counts, _categories(setting), zeros, context_columns(setting.data.catalog))


def untrained_info(setting: Setting) -> ItemInfo:
    """Features of training items for diversity losses, with zeros in every space."""
    counts = torch.from_numpy(setting.data.split.train_counts)
    return ItemInfo(counts, _categories(setting), _zeros(setting)).take(counts.nonzero().flatten())


def _zeros(setting: Setting) -> dict[str, Tensor]:
    names = space_names(setting.data, setting.config.spaces)
    return {space or CONTENT_SPACE: torch.zeros(setting.data.split.n_items, 1) for space in names}


def _traits(setting: Setting, model_ND: Tensor) -> ItemTraits:
    device = model_ND.device
    content = _content_vectors(setting)
    # Only what a reranker asks for is made and moved: a catalogue may have many spaces and columns.
    spaces: dict[str, Callable[[], Tensor]] = {
        space: partial(_moved, content, space, device) for space in content
    }
    spaces[MODEL_SPACE] = lambda: model_ND
    counts, categories_NG = setting.facts.train_counts, _categories(setting).to(device)
    return ItemTraits(counts, categories_NG, OnDemand(spaces), context_columns(setting.data.catalog))


def _moved(vectors: Mapping[str, Tensor], space: str, device: torch.device) -> Tensor:
    return vectors[space].to(device)


class OnDemand(Mapping[str, Value]):
    """A mapping whose values are made when they are first asked for, and kept.

    Args:
        makers: name -> what makes the value.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Value]]) -> None:
        self._makers = makers
        self._made: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        """The value of a name.

        Raises:
            KeyError: there is no such name.
        """
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def item_info(setting: Setting, train_items: Tensor) -> ItemInfo:
    """What diversity losses may know of the training items (N',), in their order; spaces as above."""
    counts_N = torch.from_numpy(np.asarray(setting.facts.train_counts))
    return ItemInfo(counts_N, _categories(setting), _content_vectors(setting)).take(train_items)


def _content_vectors(setting: Setting) -> Mapping[str, Tensor]:
    """Unit vectors by space; the facts name text and image side by side ""."""

    def made(vectors_ND: np.ndarray) -> Tensor:
        return _unit(torch.from_numpy(np.asarray(vectors_ND, np.float32)))

    tables = setting.facts.vectors.items()
    return OnDemand({space or CONTENT_SPACE: partial(made, vectors_ND) for space, vectors_ND in tables})


def _categories(setting: Setting) -> Tensor:
    return torch.from_numpy(setting.data.catalog.category_matrix.toarray().astype(np.float32))


def context_columns(catalog: Catalog) -> Mapping[str, np.ndarray]:
    """Name -> (N,) values of the catalogue's columns that rerankers may filter by; None where not known."""
    fixed = {*REQUIRED.names, "image_bytes"} - {PRICE}

    def made(name: str) -> np.ndarray:
        column = catalog.column(name)
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_pylist()
        return values

    names = [name for name in catalog.dataset.column_names if name not in fixed]
    return OnDemand({name: partial(made, name) for name in names if _is_scalar(catalog.column(name).type)})


def _is_scalar(kind: pa.DataType) -> bool:
    types = pa.types
    tests = (
        types.is_string,
        types.is_large_string,
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_temporal,
    )
    return any(test(kind) for test in tests)


def _unit(vectors_ND: Tensor) -> Tensor:
    """Rows of unit length; a row of zeros stays one."""
    return torch.nn.functional.normalize(vectors_ND.float(), dim=1)
