"""Items of a loaded recommender: vector spaces, allowed items, and the features that rerankers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from crossrec.data.catalog import Catalog, context_columns
from crossrec.data.interactions import near_ids
from crossrec.data.item_table import BEHAVIOUR, CONTENT, MODEL, ItemTable, LazyMapping, VectorSpace
from crossrec.encoders.cache import Features
from crossrec.encoders.image import ImageEncoder
from crossrec.encoders.text import TextEncoder
from crossrec.experiment.config import SpacesConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.recommender import NeuralRecommender
from crossrec.rerank.base import Pool, Reranker
from crossrec.rerank.context import Constraints
from crossrec.rerank.exposure import ExposureStore
from crossrec.rerank.recommender import RerankConfig
from crossrec.serving.filters import Filter, passing
from crossrec.types import ABSENT, InputError, Sequences
from crossrec.vectors import centred_rows, unit_rows

TEXT, IMAGE = "text", "image"
"""Spaces of one modality."""


@dataclass(frozen=True)
class SpaceTable:
    """Unit vectors of N items, centred on the mean of the initial catalogue.

    Args:
        mean_D: mean subtracted before normalisation.
        vectors_ND: float32; zeros where not present.
        present_N: (N,) bool, which items have a vector.
    """

    mean_D: np.ndarray
    vectors_ND: np.ndarray
    present_N: np.ndarray

    @classmethod
    def of(cls, features: Features, mean_D: np.ndarray | None = None) -> SpaceTable:
        """Return a table from an encoder's output; the mean is the items' own when None."""
        raw_ND, present_N = np.asarray(features.vectors_ND, dtype=np.float32), features.present_N
        if mean_D is None:
            mean_D = raw_ND[present_N].mean(0)
        return cls(mean_D, unit_rows(centred_rows(raw_ND, present_N, mean_D)), present_N)

    def extended(self, features: Features) -> SpaceTable:
        """Return the table with further items, centred on the same mean."""
        more = SpaceTable.of(features, self.mean_D)
        return SpaceTable(
            self.mean_D,
            np.concatenate([self.vectors_ND, more.vectors_ND]),
            np.concatenate([self.present_N, more.present_N]),
        )


class ItemSpaces:
    """Item vectors by name of space, computed on first use.

    The spaces are those of the run's list metrics: ``text`` and ``image``, whose encoders do not depend on
    the model, ``content``, the concatenation of both, and ``behaviour``, the co-clicks of the training part,
    where items that were added have no vector.

    Args:
        config: encoders of the spaces.
        contents: encoded initial catalogue, then one entry per addition; the list grows.
        single: available spaces among ``text`` and ``image``.
        behaviour: function that returns the co-clicks of the first items; None if there are none.
    """

    def __init__(
        self,
        config: SpacesConfig,
        contents: list[EncodedCatalog],
        single: Sequence[str],
        behaviour: Callable[[], VectorSpace] | None = None,
    ) -> None:
        self.config = config
        self.contents = contents
        self.behaviour = behaviour
        self._single = tuple(single)
        self._tables: dict[str, SpaceTable] = {}
        self._used: dict[str, int] = {}

    @classmethod
    def of_catalog(
        cls,
        config: SpacesConfig,
        contents: list[EncodedCatalog],
        behaviour: Callable[[], VectorSpace] | None = None,
    ) -> ItemSpaces:
        """Return the spaces whose modality some item of the first content has, and that of co-clicks."""
        catalog = contents[0].catalog
        text = config.text is not None and bool(catalog.has_text.any())
        image = config.image is not None and bool(catalog.has_image.any())
        single = [name for name, there in ((TEXT, text), (IMAGE, image)) if there]
        return cls(config, contents, single, behaviour)

    @property
    def single(self) -> tuple[str, ...]:
        """Spaces of one modality."""
        return self._single

    @property
    def names(self) -> list[str]:
        """Names of all spaces."""
        content = [*self._single, CONTENT] if self._single else []
        return [*content, *([] if self.behaviour is None else [BEHAVIOUR])]

    def table(self, name: str) -> SpaceTable:
        """Return the vectors of a space.

        Raises:
            InputError: if there is no such space.
        """
        if name == CONTENT and self._single:
            return self._side_by_side()
        if name == BEHAVIOUR and self.behaviour is not None:
            return self._co_clicks(self.behaviour())
        if name not in self._single:
            raise InputError(f"there are no item vectors in the space '{name}'; there are {self.names}")
        for content in self.contents[self._used.get(name, 0) :]:
            features = space_features(name, self.config, content)
            there = self._tables.get(name)
            self._tables[name] = SpaceTable.of(features) if there is None else there.extended(features)
            self._used[name] = self._used.get(name, 0) + 1
        return self._tables[name]

    def _side_by_side(self) -> SpaceTable:
        tables = [self.table(name) for name in self._single]
        return SpaceTable(
            np.concatenate([table.mean_D for table in tables]),
            unit_rows(np.concatenate([table.vectors_ND for table in tables], axis=1)),
            np.logical_or.reduce([table.present_N for table in tables]),
        )

    def _co_clicks(self, space: VectorSpace) -> SpaceTable:
        n_items, known = sum(len(content.catalog) for content in self.contents), self._tables.get(BEHAVIOUR)
        if known is None or len(known.vectors_ND) < n_items:
            vectors_ND, n_added = np.asarray(space.vectors_ND, np.float32), n_items - len(space.vectors_ND)
            self._tables[BEHAVIOUR] = SpaceTable(
                np.zeros(vectors_ND.shape[1], np.float32),
                np.pad(vectors_ND, ((0, n_added), (0, 0))),
                np.pad(space.present_N, (0, n_added)),
            )
        return self._tables[BEHAVIOUR]


def space_encoder(name: str, config: SpacesConfig) -> TextEncoder.Options | ImageEncoder.Options:
    """Return the encoder of a space.

    Raises:
        ValueError: if the configuration has none.
    """
    found = config.text if name == TEXT else config.image
    if found is None:
        raise ValueError(f"no encoder of the space {name} is configured")
    return found


def space_features(name: str, config: SpacesConfig, content: EncodedCatalog) -> Features:
    """Encode a catalogue with the encoder of a space, ``text`` or ``image``."""
    encoder = space_encoder(name, config)
    if isinstance(encoder, TextEncoder.Options):
        return content.text_features(encoder)
    return content.image_features(encoder)


KEPT = 64
"""Size of the caches of filters, contexts and rerankers."""


class ServedItems:
    """Items of a catalogue, with the inputs of filters and rerankers.

    Caches belong to this catalogue: a catalogue with more items is another object.

    Args:
        catalog: N items.
        train_counts: (N,) training clicks of each; 0 for items that were added.
        spaces: item vectors of all N.
        recommender: the model's recommender over all N items.
        exposure: account of what rerankers with a quota have shown; a new one in memory when None.
    """

    def __init__(
        self,
        catalog: Catalog,
        train_counts: np.ndarray,
        spaces: ItemSpaces,
        recommender: NeuralRecommender,
        exposure: ExposureStore | None = None,
    ) -> None:
        self.catalog = catalog
        self.train_counts = train_counts
        self.spaces = spaces
        self.recommender = recommender
        self._exposure = exposure
        self._allowed: dict[tuple[str, ...], np.ndarray] = {}
        self._rerankers: dict[str, tuple[Reranker, ...]] = {}

    @cached_property
    def item_ids(self) -> list[str]:
        """N original ids."""
        return [str(item_id) for item_id in self.catalog.item_ids]

    def index(self, item_id: str) -> int:
        """Return the catalogue index of an original id.

        Raises:
            InputError: if there is no such item; the message suggests similar ids.
        """
        row = self.catalog.index.get(str(item_id))
        if row is None:
            raise InputError(
                f"item '{item_id}' is not in the catalogue{near_ids(str(item_id), self.item_ids)}"
            )
        return row

    @cached_property
    def table(self) -> ItemTable:
        """Features of the items for rerankers, on the recommender's device."""
        spaces = LazyMapping({name: partial(self._space, name) for name in self.spaces.names})
        columns = context_columns(self.catalog)
        table = ItemTable(self.train_counts, self.catalog.category_matrix, spaces, columns)
        return table.with_space(MODEL, self.recommender.item_vectors())

    def _space(self, name: str) -> VectorSpace:
        found = self.spaces.table(name)
        return VectorSpace(found.vectors_ND, found.present_N)

    @property
    def exposure(self) -> ExposureStore:
        """Account of what rerankers with a quota have shown."""
        if self._exposure is None:
            self._exposure = ExposureStore()
        return self._exposure

    @exposure.setter
    def exposure(self, store: ExposureStore) -> None:
        self._exposure = store
        self._rerankers.clear()

    def rerankers(self, config: RerankConfig) -> tuple[Reranker, ...]:
        """Return the stages of a chain of rerankers for this catalogue.

        Raises:
            InputError: if a stage needs missing categories, vectors or columns.
        """
        key = config.model_dump_json()
        if key not in self._rerankers:
            _drop_oldest(self._rerankers)
            stages = tuple(stage.build(self.table) for stage in config.stages)
            if config.keeps_account:
                stages[-1].share_account(self.exposure, self.item_ids)
            self._rerankers[key] = stages
        return self._rerankers[key]

    def allowed(
        self, filters: Sequence[Filter], context: Mapping[str, str | float] | None
    ) -> np.ndarray | None:
        """Return (N,) bool, items that pass all filters and match the context; None if all may be listed.

        Raises:
            InputError: if a column is missing, or no item has such a value.
        """
        tests = [
            self._kept((test.model_dump_json(),), partial(passing, self.catalog, test)) for test in filters
        ]
        for column, value in (context or {}).items():
            tests.append(self._kept((column, str(value)), partial(self._suits, column, str(value))))
        return np.logical_and.reduce(tests) if tests else None

    def _kept(self, key: tuple[str, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
        if key not in self._allowed:
            _drop_oldest(self._allowed)
            self._allowed[key] = make()
        return self._allowed[key]

    def _suits(self, column: str, value: str) -> np.ndarray:
        """Return (N,) bool, items that the reranker ``context`` passes if it allows one value of a column."""
        n_items = len(self.catalog)
        stage = Constraints.Options(column=column, allow=(value,)).build(self.table)
        ids_1N = torch.arange(n_items, device=self.recommender.device)[None]
        everything = Pool(ids_1N, torch.zeros_like(ids_1N, dtype=torch.float32), Sequences.from_lists([[]]))
        ids_K = stage.rerank(everything, n_items).ids_BC[0].cpu().numpy()
        suits_N = np.zeros(n_items, dtype=bool)
        suits_N[ids_K[ids_K != ABSENT]] = True
        return suits_N


def _drop_oldest(kept: dict[Any, Any]) -> None:
    while len(kept) >= KEPT:
        kept.pop(next(iter(kept)))
