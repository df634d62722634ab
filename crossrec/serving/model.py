"""Trained network for serving: exact scores, one view per choice of modalities, and new items."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from crossrec.data.catalog import Catalog
from crossrec.experiment.text_scorer import titles_of, with_text_scorer
from crossrec.model.config import ModelConfig
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.growth import append_items, encode_items
from crossrec.model.modalities.base import ContentVectors
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.semantic_ids.recommender import GenerativeRecommender, recommender_of
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.model.text_scorer import TextScorer
from crossrec.types import InputError, Sequences

TILE = 4096
"""Number of items per matrix product of scores."""


class ItemTiles:
    """Scores by matrix products of a fixed size, the last one padded with zeros.

    Rounding of a product depends on its size. With a fixed size, an item's scores are bit-identical before
    and after others are added.

    Args:
        recommender: source of queries and item vectors.
    """

    def __init__(self, recommender: NeuralRecommender) -> None:
        self.recommender = recommender
        self._items: Tensor | None = None
        self._padded_PD: Tensor | None = None

    @property
    def n_items(self) -> int:
        """N."""
        return self.recommender.n_items

    @torch.no_grad()
    def score(self, histories: Sequences) -> Tensor:
        """Return (B, N) float32 scores in new memory."""
        if isinstance(self.recommender, GenerativeRecommender):
            return self.recommender.score(histories)
        queries_BD, padded_PD = self.recommender.queries(histories), self._padded()
        scores_BP = queries_BD.new_empty(len(queries_BD), len(padded_PD))
        for start in range(0, len(padded_PD), TILE):
            tile = slice(start, start + TILE)
            torch.mm(queries_BD, padded_PD[tile].T, out=scores_BP[:, tile])
        scores_BN, added = scores_BP[:, : self.n_items], self.recommender.added(histories)
        return scores_BN if added is None else scores_BN + added.dense().to(scores_BN.device)

    def _padded(self) -> Tensor:
        """Return (P, D) item vectors, P a multiple of ``TILE``."""
        vectors_ND = self.recommender.item_vectors()
        if self._padded_PD is None or self._items is not vectors_ND:
            rows = -(-len(vectors_ND) // TILE) * TILE
            self._padded_PD = vectors_ND.new_zeros(rows, vectors_ND.shape[1])
            self._padded_PD[: len(vectors_ND)] = vectors_ND
            self._items = vectors_ND
        return self._padded_PD


class ServedModel:
    """Network whose training is finished.

    Args:
        recommender: the model's recommender.
        config: configuration of the network.
        base: encoded catalogue of the training; ``contents`` continues it with the added items.
        text_scorer: tuned text scorer, which scores the best items again; None for none.
    """

    def __init__(
        self,
        recommender: NeuralRecommender,
        config: ModelConfig,
        base: EncodedCatalog,
        text_scorer: TextScorer | None = None,
    ) -> None:
        self.recommender = recommender
        self.config = config
        self.contents = [base]
        self.text_scorer = text_scorer
        self._encoders: dict[str, Any] = {}
        self._views: dict[frozenset[str], ItemTiles] = {frozenset(self.modalities): ItemTiles(recommender)}

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities."""
        return list(self.recommender.network.items.modalities)

    @property
    def whole(self) -> NeuralRecommender | TextScoredRecommender:
        """The recommender with its text scorer, if it has one."""
        if self.text_scorer is None:
            return self.recommender
        return with_text_scorer(self.recommender, self.text_scorer)

    def view(self, modalities: Collection[str] | None) -> ItemTiles:
        """Return scores by some modalities of the model; item vectors are computed once per choice.

        Args:
            modalities: names of some of the model's modalities; all when None.

        Raises:
            InputError: if none is named, or one that the model doesn't have.
        """
        chosen = frozenset(self.modalities if modalities is None else modalities)
        if not chosen or not chosen <= set(self.modalities):
            raise InputError(
                f"modalities: {sorted(chosen)}; name at least one of those of this model: {self.modalities}"
            )
        if chosen not in self._views:
            network, name = self.recommender.network, self.recommender.name
            self._views[chosen] = ItemTiles(recommender_of(network, name=name, shown=chosen))
        return self._views[chosen]

    def content_of(self, catalog: Catalog) -> EncodedCatalog:
        """Return the encoders' inputs of new items; encoders are loaded once and kept."""
        first = self.contents[0]
        return EncodedCatalog(catalog, first.cache_dir, self._encoders, first.root)

    def columns(self, catalog: Catalog) -> list[str]:
        """Return the keys of new items' rows that the model reads, each once.

        Args:
            catalog: catalogue in use.
        """
        parts = self.config.build_modalities().values()
        return list(dict.fromkeys(column for part in parts for column in part.columns(catalog)))

    def encode(self, content: EncodedCatalog) -> dict[str, ContentVectors]:
        """Encode new items, without changing the model.

        Raises:
            InputError: if the model reads ids alone, or reads no modality of an item.
        """
        return encode_items(self.recommender.network, self.config, content)

    def append(
        self, encoded: Mapping[str, ContentVectors], content: EncodedCatalog, catalog: Catalog
    ) -> None:
        """Append new items.

        Args:
            encoded: output of :meth:`encode`.
            content: content of the new items.
            catalog: catalogue of all items, the new ones last.
        """
        append_items(self.recommender.network, encoded, len(content.catalog))
        self.contents[0].grow(catalog)
        self.contents.append(content)
        if self.text_scorer is not None:
            self.text_scorer.set_titles(titles_of(catalog, self.text_scorer.options.column))
