"""Item methods of a loaded recommender: look-up, similarity, vectors, and new items."""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from crossrec.data.catalog import Catalog
from crossrec.data.item_table import MODEL
from crossrec.experiment.config import ExperimentConfig
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.serving.filters import Filter, as_filters
from crossrec.serving.items import ServedItems
from crossrec.serving.lists import ListOptions, most_clicked, nearest
from crossrec.serving.model import ServedModel
from crossrec.serving.new_items import Frame, new_catalog
from crossrec.serving.results import ItemEmbeddings, Recommendations
from crossrec.serving.state import ModelInfo, RecommenderState
from crossrec.types import InputError, TopK


class LoadedItems:
    """Methods of a loaded recommender that need no history.

    Args:
        state: all parts of the recommender.
    """

    def __init__(self, state: RecommenderState) -> None:
        self.state = state
        self._lock = threading.RLock()
        self._told_of_k = False

    @property
    def name(self) -> str:
        """Run name."""
        return self.state.name

    @property
    def config(self) -> ExperimentConfig:
        """Configuration of the experiment."""
        return self.state.config

    @property
    def model(self) -> ServedModel:
        """Network in use."""
        return self.state.model

    @property
    def items(self) -> ServedItems:
        """Current catalogue with vectors, filters and rerankers."""
        return self.state.items

    @property
    def about(self) -> ModelInfo:
        """Origin and test metrics."""
        return self.state.about

    @property
    def catalog(self) -> Catalog:
        """All items, including added ones."""
        return self.items.catalog

    @property
    def recommender(self) -> NeuralRecommender | TextScoredRecommender:
        """Model over catalogue indices, with its text scorer, without filters or reranking."""
        return self.model.whole

    @property
    def modalities(self) -> list[str]:
        """Names of the model's modalities, such as ``text``, ``image`` and ``id``."""
        return self.model.modalities

    @property
    def picture_columns(self) -> list[str]:
        """Further columns of the catalogue that hold pictures, or paths of them."""
        return self.config.model.picture_columns

    @property
    def spaces(self) -> list[str]:
        """Spaces in which items can be compared, besides ``model``; see :meth:`similar`."""
        return self.items.spaces.names

    @property
    def n_items(self) -> int:
        """N, including added items."""
        return len(self.items.catalog)

    @property
    def item_ids(self) -> list[str]:
        """N original ids, in the catalogue's order."""
        return self.items.item_ids

    def index(self, item_id: str) -> int:
        """Return the catalogue index of an item.

        Raises:
            InputError: if there is no such item; the message suggests similar ids.
        """
        return self.items.index(item_id)

    def popular(self, k: int = 10, *, filters: Sequence[Filter | Mapping[str, Any]] = ()) -> Recommendations:
        """Return the items with the most training clicks, for users without a history."""
        with self._lock:
            return self._named(most_clicked(self.items, self._places(k), as_filters(filters)), 0)

    def similar(self, item_id: str, k: int = 10, space: str = MODEL) -> Recommendations:
        """Return the most similar items by cosine of item vectors.

        Args:
            item_id: original id.
            k: length of the list.
            space: ``model`` for the model's own item vectors, or a space that doesn't depend on the model:
                ``text``, ``image``, ``content`` for the concatenation of both, or ``behaviour`` for the
                co-clicks of the training part.

        Raises:
            InputError: if there is no such item or space, or the item has no vector there.
        """
        with self._lock:
            row = self.index(item_id)
            vectors_ND, present_N = self._vectors(space)
            if not present_N[row]:
                raise InputError(f"item '{item_id}' has no vector in the space '{space}'")
            return self._named(nearest(vectors_ND, present_N, row, self._places(k)), 0)

    def embeddings(self, space: str = MODEL) -> ItemEmbeddings:
        """Return the vectors of all items, zeros where missing; spaces as in :meth:`similar`."""
        with self._lock:
            return ItemEmbeddings(self.item_ids, self._vectors(space)[0].copy())

    def add_items(self, items: Sequence[Mapping[str, Any]] | Frame | pl.DataFrame) -> list[str]:
        """Add new items, which can be recommended, filtered, reranked and clicked at once.

        Nothing is retrained or refitted, so scores of the other items do not change. New items are
        represented by the content that the model reads, such as text and picture; they have no training
        clicks and no id embedding. Either all rows are added, or none.

        Args:
            items: rows with ``item_id``, and any of ``title``, ``text``, ``image`` (path, bytes or Pillow
                image), ``categories`` (a list, or a text separated by "|"), ``price``, the catalogue's other
                columns and, by the modality's name, vectors of a modality that was read from a file; or a
                polars or pandas frame of them.

        Returns:
            Original ids of the new items.

        Raises:
            InputError: if an id exists or is missing, a picture can't be read, an item has nothing that the
                model reads, or the model reads ids alone.
        """
        with self._lock:
            more = new_catalog(items, self.catalog, self.model.columns(self.catalog))
            if not len(more):
                return []
            content = self.model.content_of(more)
            encoded = self.model.encode(content)
            catalog = self.catalog.extended(more)
            # From here on, the caller's objects are not read.
            self.model.append(encoded, content, catalog)
            counts = np.concatenate([self.items.train_counts, np.zeros(len(more), np.int64)])
            spaces, exposure = self.items.spaces, self.items.exposure
            grown = ServedItems(catalog, counts, spaces, self.model.recommender, exposure)
            self.state = replace(self.state, items=grown)
            return [str(item_id) for item_id in more.item_ids]

    def _places(self, k: int) -> int:
        """Return a list's length, at most the number of items; a larger k is warned of once.

        Raises:
            InputError: if k is not an integer, or less than 1.
        """
        try:
            k = operator.index(k)
        except TypeError as error:
            raise InputError(f"k={k!r}: the length of a list is a whole number") from error
        if k > self.n_items and not self._told_of_k:
            self._told_of_k = True
            message = f"k={k:,}, but there are {self.n_items:,} items: lists end with the last one"
            warnings.warn(message, stacklevel=3)
        return ListOptions(min(k, self.n_items)).k

    def _vectors(self, space: str) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, D) float32 vectors of a space, and (N,) bool, which items have one."""
        if space == MODEL:
            vectors_ND = self.model.recommender.item_vectors().cpu().numpy()
            return vectors_ND, np.ones(len(vectors_ND), dtype=bool)
        table = self.items.spaces.table(space)
        return table.vectors_ND, table.present_N

    def _named(self, lists: TopK, row: int) -> Recommendations:
        return Recommendations.of(lists.ids[row], lists.scores[row], self.catalog)
