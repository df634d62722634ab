"""Explainer: all explanations of a score in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

import numpy as np
from torch import Tensor

from crossrec.explain.attention import history_attention
from crossrec.explain.content import IMAGE, TEXT, ItemContent
from crossrec.explain.effects import (
    click_gradients,
    click_leave_one_out,
    modality_gradients,
    modality_leave_one_out,
)
from crossrec.explain.explanation import (
    METHODS,
    ClickEffects,
    Explanation,
    HeatMap,
    HistoryAttention,
    Method,
    ModalityEffects,
    Unavailable,
    WordWeights,
)
from crossrec.explain.picture import PictureInput, heat_map
from crossrec.explain.score import Pair, check_question, mean_features
from crossrec.explain.words import TextInput, word_weights
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.semantic_ids.recommender import GenerativeRecommender
from crossrec.types import InputError, Recommender, Sequences

logger = logging.getLogger(__name__)
Found = ModalityEffects | ClickEffects | HistoryAttention | HeatMap | WordWeights
Kind = TypeVar("Kind")


def explain(
    recommender: Recommender,
    histories: Sequences,
    item: int,
    *,
    methods: Collection[Method] | None = None,
    content: ItemContent | None = None,
) -> Explanation:
    """Explain the score that a recommender gives an item after a history.

    For several explanations, use an :class:`Explainer`, which loads encoders once.

    Args:
        recommender: a network, or any other recommender, for which only leave-one-out of clicks is possible.
        histories: one row, oldest click first.
        item: catalogue index of the scored item.
        methods: a subset of ``METHODS``, each of which must be possible; None for all possible ones.
        content: catalogue and encoders, for pictures and words.

    Raises:
        InputError: if the arguments are invalid, or a requested method is not possible here.
    """
    return Explainer(recommender, content).explain(histories, item, methods)


class Explainer:
    """Explainer of one recommender's scores.

    Create a new one when the catalogue or the network has changed.

    Args:
        recommender: a network, or any other recommender.
        content: catalogue and encoders, for pictures, words and original ids, which None omits.
    """

    def __init__(self, recommender: Recommender, content: ItemContent | None = None) -> None:
        self.recommender = recommender
        self.content = content

    def explain(
        self, histories: Sequences, item: int, methods: Collection[Method] | None = None
    ) -> Explanation:
        """Like the function :func:`explain`; without ``methods``, failures are noted in ``left_out``."""
        check_question(self.recommender.n_items, histories, item)
        check_methods(methods)
        question = Question(self, histories, item)
        found: dict[Method, Found] = {}
        left_out: dict[str, str] = {}
        for method in METHODS:
            if methods is not None and method not in methods:
                continue
            try:
                found[method] = question.answer(method)
            except (InputError, OSError, SyntaxError, ValueError) as reason:  # Pillow's are among them
                if methods is not None:
                    raise
                if not isinstance(reason, Unavailable):
                    logger.warning("explanation without %s: %s", method, reason)
                left_out[method] = str(reason)
        return question.explanation(found, left_out)

    @cached_property
    def mean_MD(self) -> Tensor:
        """(M, D) features of an average item."""
        return mean_features(self.network.network)

    @cached_property
    def mean_D(self) -> Tensor:
        """(D,) mean item vector of the catalogue."""
        return self.network.item_vectors().mean(0)

    @property
    def network(self) -> NeuralRecommender:
        """The recommender, if it is a network.

        Raises:
            Unavailable: if it is another recommender.
        """
        if not isinstance(self.recommender, NeuralRecommender):
            raise Unavailable(
                f"{type(self.recommender).__name__} is not a network of this package: only leaving out "
                "clicks explains it"
            )
        if isinstance(self.recommender, GenerativeRecommender):
            raise Unavailable(
                "scores come from generating codes, not from vectors: only leaving out clicks explains them"
            )
        return self.recommender

    def known_content(self) -> ItemContent:
        """Return the catalogue and the encoders.

        Raises:
            Unavailable: if none were given.
        """
        if self.content is None:
            raise Unavailable("no catalogue was given, so pictures and texts can't be explained")
        return self.content


class Question:
    """A score to explain; inputs shared by several methods are computed once.

    Args:
        explainer: explainer of the recommender.
        histories: history of one row.
        item: catalogue index.
    """

    def __init__(self, explainer: Explainer, histories: Sequences, item: int) -> None:
        self.explainer, self.item = explainer, item
        self.histories = self._read(histories)
        self.further_pictures: list[HeatMap] = []
        self.further_words: list[WordWeights] = []

    def _read(self, histories: Sequences) -> Sequences:
        """Return the clicks that the recommender reads, as far as that is known."""
        recommender = self.explainer.recommender
        if isinstance(recommender, NeuralRecommender):
            return histories.tail(recommender.network.history_length)
        return histories

    @cached_property
    def pair(self) -> Pair:
        """The score's intermediate values."""
        return Pair.of(self.explainer.network, self.histories, self.item)

    @cached_property
    def shown(self) -> PictureInput:
        """The item's picture, the first that the model reads, and its path to the score."""
        return PictureInput.of(self.pair, self.explainer.known_content())

    @cached_property
    def read_text(self) -> TextInput:
        """The item's text, the first that the model reads, and its path to the score."""
        return TextInput.of(self.pair, self.explainer.known_content())

    def _pictures(self) -> HeatMap:
        """Explain all pictures of the item, and return the map of the first."""
        first, content = heat_map(self.shown), self.explainer.known_content()
        others = content.names(self.pair, IMAGE)[1:]
        self.further_pictures = [heat_map(PictureInput.of(self.pair, content, name)) for name in others]
        return first

    def _texts(self) -> WordWeights:
        """Explain all texts of the item, and return the words of the first."""
        first, content = word_weights(self.read_text), self.explainer.known_content()
        others = content.names(self.pair, TEXT)[1:]
        self.further_words = [word_weights(TextInput.of(self.pair, content, name)) for name in others]
        return first

    def answer(self, method: Method) -> Found:
        """Return the result of one method.

        Raises:
            Unavailable: if this recommender or item does not support it.
        """
        answers: dict[Method, Callable[[], Found]] = {
            "modality_leave_one_out": lambda: modality_leave_one_out(self.pair),
            "modality_gradients": lambda: modality_gradients(self.pair, self.explainer.mean_MD),
            "click_leave_one_out": lambda: click_leave_one_out(
                self.explainer.recommender, self.histories, self.item
            ),
            "click_gradients": lambda: click_gradients(self.pair, self.explainer.mean_D),
            "attention": lambda: history_attention(self.pair),
            "picture": self._pictures,
            "words": self._texts,
        }
        return answers[method]()

    def explanation(self, found: dict[Method, Found], left_out: dict[str, str]) -> Explanation:
        """Return all findings as one explanation."""
        clicks_L = np.asarray(self.histories.items, np.int64)
        scores_11 = self.explainer.recommender.score(self.histories, np.asarray([[self.item]]))
        return Explanation(
            item=self.item,
            score=float(scores_11[0, 0]),
            clicks_L=clicks_L,
            modalities=tuple(_of_type(found, ModalityEffects)),
            clicks=tuple(_of_type(found, ClickEffects)),
            attention=next(_of_type(found, HistoryAttention), None),
            picture=next(_of_type(found, HeatMap), None),
            words=next(_of_type(found, WordWeights), None),
            further_pictures=tuple(self.further_pictures),
            further_words=tuple(self.further_words),
            left_out=left_out,
            item_ids=self._item_ids(clicks_L),
            neighbours=self._neighbours(),
        )

    def _neighbours(self) -> float:
        recommender = self.explainer.recommender
        added = recommender.added(self.histories) if isinstance(recommender, NeuralRecommender) else None
        return 0.0 if added is None else float(added.of(np.asarray([[self.item]]))[0, 0])

    def _item_ids(self, clicks_L: np.ndarray) -> dict[int, str]:
        content = self.explainer.content
        if content is None:
            return {}
        return {row: str(content.catalog.item_ids[row]) for row in [*clicks_L.tolist(), self.item]}


def _of_type(found: Mapping[Method, Found], kind: type[Kind]) -> Iterator[Kind]:
    return (answer for answer in found.values() if isinstance(answer, kind))


def check_methods(methods: Collection[str] | None) -> None:
    """Check that all methods exist.

    Raises:
        InputError: if one does not exist; the message lists the valid ones.
    """
    unknown = [method for method in methods or () if method not in METHODS]
    if unknown:
        raise InputError(f"there is no explanation method '{unknown[0]}'; there are {', '.join(METHODS)}")
