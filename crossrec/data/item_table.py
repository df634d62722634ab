"""Features of items: training clicks, categories, columns, texts, and vectors in named spaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.nn import functional as F

from crossrec.types import InputError

Value = TypeVar("Value")

CATEGORY = "category"
"""The space of categories: (N, G) membership."""

TEXTS = "texts"
"""The need for item texts, see :meth:`ItemTable.check`."""

CONTENT = "content"
"""The space of concatenated text and image vectors."""

MODEL = "model"
"""The space of a recommender's own item vectors."""

BEHAVIOUR = "behaviour"
"""The space of co-clicks: items that the same users clicked in training are close."""


@dataclass(frozen=True)
class VectorSpace:
    """Vectors of N items.

    Args:
        vectors_ND: (N, D) float32; rows of items without a vector are zeros.
        present_N: (N,) bool, items that have a vector.
    """

    vectors_ND: np.ndarray | Tensor
    present_N: np.ndarray

    def __post_init__(self) -> None:
        if len(self.vectors_ND) != len(self.present_N):
            raise ValueError(f"{len(self.vectors_ND)} vectors and {len(self.present_N)} mask entries")


Vectors = VectorSpace | Tensor | np.ndarray
"""A space, or its (N, D) vectors alone, where rows of zeros stand for items without one."""


class LazyMapping(Mapping[str, Value]):
    """A mapping whose values are computed on first access and kept.

    Args:
        makers: name -> function that computes the value.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Value]]) -> None:
        self._makers = dict(makers)
        self._made: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        """Return the value of a name.

        Raises:
            KeyError: if there is no such name.
        """
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class ItemTable:
    """Features of N items in a fixed order, for losses, rerankers, baselines, metrics and simulations.

    Everything is kept by row. Spaces and columns may be :class:`LazyMapping`, so that only those in use are
    computed; tensors are made on first access.

    Args:
        train_counts: (N,) training clicks per item.
        categories: (N, G) membership of each item in each category, sparse or dense; None for G = 0.
        spaces: name -> vectors, such as ``"text"``, ``"image"``, :data:`CONTENT`, :data:`BEHAVIOUR`,
            :data:`MODEL`.
        columns: name -> (N,) values, None where unknown.
        texts: maps rows to their texts, empty where missing; None if no item has a text.
        device: device of the tensors.

    Raises:
        ValueError: if categories have another number of rows.
    """

    def __init__(
        self,
        train_counts: np.ndarray | Tensor,
        categories: csr_matrix | np.ndarray | Tensor | None = None,
        spaces: Mapping[str, Vectors] | None = None,
        columns: Mapping[str, np.ndarray] | None = None,
        texts: Callable[[np.ndarray], list[str]] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.train_counts = np.asarray(train_counts)
        n_items = len(self.train_counts)
        if categories is None:
            categories = np.zeros((n_items, 0), np.float32)
        self.categories = csr_matrix(
            categories.cpu().numpy() if isinstance(categories, Tensor) else categories
        )
        if self.categories.shape[0] != n_items:
            raise ValueError(f"categories have {self.categories.shape[0]} rows for {n_items} items")
        self._spaces: Mapping[str, Vectors] = {} if spaces is None else spaces
        self.columns: Mapping[str, np.ndarray] = {} if columns is None else columns
        self.texts = texts
        self.device = torch.device(device)
        self._tensors: dict[str, Tensor] = {}
        self._arrays: dict[str, np.ndarray] = {}

    @classmethod
    def of_size(cls, n_items: int, **features: Any) -> Self:
        """Return a table of N items without training clicks.

        Args:
            n_items: N.
            features: further arguments of the class, such as ``texts``.
        """
        return cls(np.zeros(n_items, dtype=np.int64), **features)

    def __len__(self) -> int:
        return self.n_items

    @property
    def n_items(self) -> int:
        """Number of items, N."""
        return len(self.train_counts)

    @property
    def spaces(self) -> list[str]:
        """Names of the spaces in which items can be compared, :data:`CATEGORY` last if there are any."""
        return [*self._spaces, *([CATEGORY] if self.categories.shape[1] else [])]

    @property
    def train_counts_N(self) -> Tensor:
        """(N,) training clicks on the table's device."""
        return self._tensor("counts", lambda: torch.from_numpy(self.train_counts))

    @property
    def categories_NG(self) -> Tensor:
        """(N, G) float32 membership on the table's device; G may be 0."""
        return self._tensor("categories", self._dense_categories)

    def vectors(self, space: str) -> np.ndarray:
        """Return (N, D) float32 vectors of a space other than categories, zeros where missing."""
        if space not in self._arrays:
            found = self._space(space)
            vectors_ND = found.vectors_ND
            if isinstance(vectors_ND, Tensor):
                vectors_ND = vectors_ND.cpu().numpy()
            vectors_ND = np.asarray(vectors_ND, np.float32)
            if not found.present_N.all():
                vectors_ND = np.where(found.present_N[:, None], vectors_ND, np.float32(0))
            self._arrays[space] = vectors_ND
        return self._arrays[space]

    def present(self, space: str) -> np.ndarray:
        """Return (N,) bool, items that have a vector in a space; for categories, items that have one."""
        if space == CATEGORY:
            return np.diff(self.categories.indptr) > 0
        return self._space(space).present_N

    def unit(self, space: str) -> Tensor:
        """Return (N, D) unit-length rows on the table's device, zeros where missing; includes categories."""
        if space == CATEGORY:
            return self._tensor("unit categories", lambda: F.normalize(self._dense_categories(), dim=1))
        return self._tensor(f"space {space}", lambda: self._unit(space))

    def require(self, space: str, client: str) -> str:
        """Check that there is a space, and return its name.

        Args:
            space: name of a space.
            client: subject of the error, such as ``"rerank"``.

        Raises:
            InputError: if there is no such space; the message lists the valid ones.
        """
        if space in self.spaces:
            return space
        if space == CATEGORY:
            raise InputError(
                f"{client} needs item categories, but no item of the catalogue has one; give the items "
                "'categories', or leave this out"
            )
        known = ", ".join(sorted(self.spaces)) or "none"
        reasons = {
            "text": "no item has text",
            "image": "no item has image",
            BEHAVIOUR: "training has no two users with clicks on two items",
        }
        why = f": {reasons[space]}, or spaces.{space} is null" if space in reasons else ""
        raise InputError(f"{client} needs item vectors in the space '{space}'; there are {known}{why}")

    def require_texts(self, client: str) -> list[str]:
        """Return the N texts, empty where missing.

        Raises:
            InputError: if no item has a text.
        """
        if self.texts is None:
            raise InputError(
                f"{client} needs item texts, but no item of the catalogue has one; give the items a 'text', "
                "or leave this out"
            )
        return self.texts(np.arange(self.n_items))

    def check(self, need: str, client: str) -> None:
        """Check that there are texts (:data:`TEXTS`), or a space.

        Raises:
            InputError: if there are none.
        """
        if need == TEXTS:
            self.require_texts(client)
        else:
            self.require(need, client)

    def tail(self, share: float) -> np.ndarray:
        """Return (N,) bool, the items of the tail, see :func:`tail_items`."""
        return tail_items(self.train_counts, share)

    def take(self, items: np.ndarray) -> ItemTable:
        """Return the table of some items, in the given order.

        Args:
            items: (M,) row numbers.
        """
        rows = np.asarray(items)
        spaces = LazyMapping({name: _taker(self._spaces, name, rows) for name in self._spaces})
        columns = LazyMapping({name: _column_taker(self.columns, name, rows) for name in self.columns})
        texts = self.texts
        chosen = None if texts is None else lambda places: texts(rows[places])
        counts, categories = self.train_counts[rows], self.categories[rows]
        return ItemTable(counts, categories, spaces, columns, chosen, self.device)

    def to(self, device: torch.device | str) -> ItemTable:
        """Return the same table with its tensors on another device."""
        return ItemTable(self.train_counts, self.categories, self._spaces, self.columns, self.texts, device)

    def with_space(self, name: str, vectors_ND: Tensor) -> ItemTable:
        """Return the table with one more space in which all items have a vector, on the vectors' device."""
        space = VectorSpace(vectors_ND, np.ones(len(vectors_ND), dtype=bool))
        return self.with_lazy_space(name, lambda: space).to(vectors_ND.device)

    def with_lazy_space(self, name: str, make: Callable[[], VectorSpace]) -> ItemTable:
        """Return the table with one more space, or another one of this name, made on first use."""
        makers = {known: _taker(self._spaces, known, None) for known in self._spaces}
        spaces = LazyMapping({**makers, name: make})
        counts = self.train_counts
        return ItemTable(counts, self.categories, spaces, self.columns, self.texts, self.device)

    def with_counts(self, train_counts: np.ndarray) -> ItemTable:
        """Return the same table with other training clicks."""
        return ItemTable(train_counts, self.categories, self._spaces, self.columns, self.texts, self.device)

    def with_categories(self, categories: csr_matrix | np.ndarray) -> ItemTable:
        """The same table with other categories, (N, G)."""
        return ItemTable(self.train_counts, categories, self._spaces, self.columns, self.texts, self.device)

    def _space(self, name: str) -> VectorSpace:
        space = _as_space(self._spaces[name])
        if len(space.present_N) != self.n_items:
            raise ValueError(f"space '{name}' has {len(space.present_N)} rows for {self.n_items} items")
        return space

    def _unit(self, name: str) -> Tensor:
        vectors_ND = self._space(name).vectors_ND
        if not isinstance(vectors_ND, Tensor):
            vectors_ND = torch.from_numpy(self.vectors(name))
        return F.normalize(vectors_ND.float(), dim=1)

    def _dense_categories(self) -> Tensor:
        return torch.from_numpy(self.categories.toarray().astype(np.float32))

    def _tensor(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        if key not in self._tensors:
            self._tensors[key] = make().to(self.device)
        return self._tensors[key]


def _as_space(vectors: Vectors) -> VectorSpace:
    if isinstance(vectors, VectorSpace):
        return vectors
    known_N = (vectors != 0).any(1)
    return VectorSpace(vectors, known_N.cpu().numpy() if isinstance(known_N, Tensor) else known_N)


def _taker(spaces: Mapping[str, Vectors], name: str, rows: np.ndarray | None) -> Callable[[], VectorSpace]:
    def make() -> VectorSpace:
        space = _as_space(spaces[name])
        return space if rows is None else VectorSpace(space.vectors_ND[rows], space.present_N[rows])

    return make


def _column_taker(columns: Mapping[str, np.ndarray], name: str, rows: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: columns[name][rows]


def tail_items(train_counts: np.ndarray, share: float) -> np.ndarray:
    """Return which items are in the tail.

    The head is the shortest prefix of the items, sorted by (training clicks descending, index), that holds at
    least ``1 - share`` of the training clicks. All others, unclicked ones too, are the tail.

    Args:
        train_counts: (N,) training clicks of each item.
        share: maximum share of the training clicks in the tail, from 0 to 1.

    Returns:
        (N,) bool; all true where there is no training click.

    Source:
        Abdollahpouri, Burke, Mobasher: Managing popularity bias in recommender systems with personalized
        re-ranking (FLAIRS 2019).
    """
    tail_N = np.ones(len(train_counts), dtype=bool)
    order = np.argsort(-train_counts, kind="stable")
    before = np.cumsum(train_counts[order]) - train_counts[order]
    # Rounding must not let one more item into the head when the share is met exactly.
    needed = (1 - share) * train_counts.sum() * (1 - 1e-12)
    tail_N[order[before < needed]] = False
    return tail_N
