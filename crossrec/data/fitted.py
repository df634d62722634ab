"""Fitted recommenders in a data set's own ids: histories and users in, data frames out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl

from crossrec.data.interactions import UserLog, near_ids
from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import PreparedData
from crossrec.types import ABSENT, InputError, Recommender, Sequences, TopK


class RerankerMaker(Protocol):
    """Options of a reranker, such as ``MMR(diversity=0.2)``."""

    def build(self, items: ItemTable) -> Any:
        """Return the reranker of a catalogue."""


class FittedRecommender:
    """A recommender and the data that it was fitted to.

    Args:
        recommender: fitted recommender over catalogue indices, such as a baseline or an ensemble.
        data: data whose users and items its lists name.
        items: features of the items, for rerankers; the data's own, without vectors, when None.
    """

    def __init__(self, recommender: Recommender, data: PreparedData, items: ItemTable | None = None) -> None:
        if recommender.n_items != len(data.catalog):
            raise InputError(
                f"{name_of(recommender)} knows {recommender.n_items:,} items, {data.name} has "
                f"{len(data.catalog):,}: fit it to these data"
            )
        self.recommender, self.data = recommender, data
        self.items = data.item_table() if items is None else items

    @property
    def name(self) -> str:
        """Name in tables."""
        return name_of(self.recommender)

    @property
    def n_items(self) -> int:
        """N."""
        return self.recommender.n_items

    def recommend(
        self,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | None = None,
        *,
        k: int = 10,
        rerank: RerankerMaker | None = None,
        candidates: int = 100,
        exclude_seen: bool = True,
    ) -> pl.DataFrame:
        """Return ranked lists.

        Args:
            users: ids of users of the data, whose histories are all their clicks; all users when neither
                users nor histories are given.
            histories: lists of item ids, oldest first, in place of users.
            k: length of the lists.
            rerank: options of a reranker over the best candidates, such as ``MMR(diversity=0.2)``.
            candidates: number of candidates to rerank (k at least).
            exclude_seen: whether to omit the history's items.

        Returns:
            ``user_id`` (number of the history where histories are given), ``item_id``, ``rank`` from 1 and
            ``score``, one row per recommendation.

        Raises:
            InputError: if a user or item is unknown, or both users and histories are given.
        """
        if users is not None and histories is not None:
            raise InputError("give users or histories, not both")
        if isinstance(users, str):
            raise InputError(f"users is a list of user ids, not the text '{users}'")
        if k < 1:
            raise InputError(f"k={k}: lists have at least one item")
        if histories is not None:
            names, rows = [str(n) for n in range(len(histories))], self._indices(histories)
        else:
            log = UserLog(self.data.clicks)
            names = log.ids if users is None else [str(user) for user in users]
            rows = log.histories(names)
        exclude = rows if exclude_seen else None
        if rerank is None:
            lists = self.recommender.recommend(rows, k, exclude)
        else:
            reranker = _reranker(rerank, self.items)
            pool = self.recommender.recommend(rows, min(max(candidates, k), self.n_items), exclude)
            lists = reranker.rerank_lists(pool, rows, k)
        return lists_frame(lists, names, self.data.catalog.item_ids)

    def _indices(self, histories: Sequence[Sequence[str]]) -> Sequences:
        place = self.data.catalog.index
        for number, history in enumerate(histories):
            if isinstance(history, str):
                raise InputError(f"a history is a list of item ids, not the text '{history}'")
            unknown = [str(item) for item in history if str(item) not in place]
            if unknown:
                near = near_ids(unknown[0], list(place))
                raise InputError(f"histories[{number}]: {self.data.name} has no item '{unknown[0]}'{near}")
        return Sequences.from_lists([[place[str(item)] for item in history] for history in histories])

    def __repr__(self) -> str:
        return f"{self.name}, fitted to {self.data.name}"


def _reranker(rerank: Any, items: ItemTable) -> Any:
    component = getattr(rerank, "component", None)
    if not hasattr(component, "rerank_lists"):
        raise InputError(
            f"rerank takes a reranker with its options, such as MMR(diversity=0.2), not {rerank!r}"
        )
    return rerank.build(items)


def require_split(data: Any) -> PreparedData:
    """Return split data.

    Raises:
        InputError: if the data are of another kind, such as a data set before its split.
    """
    if not isinstance(data, PreparedData):
        hint = "; call its split() first" if hasattr(data, "split") else ""
        raise InputError(f"needs cleaned and split data, not {type(data).__name__}{hint}")
    return data


def name_of(recommender: Any) -> str:
    """Return a recommender's name in tables, that of its class where it has none."""
    return str(getattr(recommender, "name", type(recommender).__name__))


def lists_frame(lists: TopK, names: Sequence[str], item_ids: Sequence[str] | np.ndarray) -> pl.DataFrame:
    """Return lists as a frame: ``user_id``, ``item_id``, ``rank`` and ``score``, without empty places.

    Args:
        lists: (B, K).
        names: B user ids.
        item_ids: N original ids.
    """
    rows, places = np.nonzero(lists.ids != ABSENT)
    ids = np.asarray(item_ids)
    return pl.DataFrame(
        {
            "user_id": pl.Series([names[row] for row in rows.tolist()], dtype=pl.String),
            "item_id": pl.Series([str(item) for item in ids[lists.ids[rows, places]]], dtype=pl.String),
            "rank": pl.Series(places + 1, dtype=pl.Int32),
            "score": pl.Series(lists.scores[rows, places], dtype=pl.Float32),
        }
    )
