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


class ExplorerMaker(Protocol):
    """Options of an explorer, such as ``EpsilonGreedy(epsilon=0.1)``."""

    def build(self, items: ItemTable) -> Any:
        """Return the explorer of a catalogue."""


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
        explore: ExplorerMaker | None = None,
        seed: int = 0,
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
            explore: options of an explorer, which draws the lists from the best candidates, such as
                ``EpsilonGreedy(epsilon=0.1)``.
            seed: seed of an explorer's random numbers, which belong to users: not negative.
            candidates: number of candidates to rerank or explore (k at least).
            exclude_seen: whether to omit the history's items.

        Returns:
            ``user_id`` (number of the history where histories are given), ``item_id``, ``rank`` from 1 and
            ``score``, one row per recommendation; with ``explore``, also ``propensity``, the probability of
            the item at its rank, and ``inclusion``, that of the item anywhere in the list; null if unknown.

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
            numbers_B = np.arange(len(rows))
        else:
            log = UserLog(self.data.clicks)
            names = log.ids if users is None else [str(user) for user in users]
            numbers_B, rows = log.rows(names), log.histories(names)
        exclude, item_ids = rows if exclude_seen else None, self.data.catalog.item_ids
        if rerank is None and explore is None:
            return lists_frame(self.recommender.recommend(rows, k, exclude), names, item_ids)
        check_seed(seed)
        stages = [] if rerank is None else [_reranker(rerank, self.items)]
        explorer = None if explore is None else _explorer(explore, self.items, self.recommender)
        pool = self.recommender.recommend(rows, min(max(candidates, k), self.n_items), exclude)
        if explorer is None:
            return lists_frame(stages[0].rerank_lists(pool, rows, k), names, item_ids)
        drawn = explorer.explore_lists(pool, rows, numbers_B, k, seed=seed, stages=stages)
        return lists_frame(drawn.lists, names, item_ids, drawn.placement_BK, drawn.inclusion_BK)

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


def _explorer(explore: Any, items: ItemTable, recommender: Recommender) -> Any:
    if not hasattr(getattr(explore, "component", None), "explore_lists"):
        raise InputError(
            f"explore takes an explorer with its options, such as EpsilonGreedy(epsilon=0.1), not {explore!r}"
        )
    explorer = explore.build(items)
    explorer.attach(recommender)
    return explorer


def check_seed(seed: int) -> None:
    """Check a seed of lists.

    Raises:
        InputError: if it is negative.
    """
    if seed < 0:
        raise InputError(f"seed={seed}: seeds are 0 or more")


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


def lists_frame(
    lists: TopK,
    names: Sequence[str],
    item_ids: Sequence[str] | np.ndarray,
    placement_BK: np.ndarray | None = None,
    inclusion_BK: np.ndarray | None = None,
) -> pl.DataFrame:
    """Return lists as a frame: ``user_id``, ``item_id``, ``rank`` and ``score``, without empty places.

    Args:
        lists: (B, K).
        names: B user ids.
        item_ids: N original ids.
        placement_BK: (B, K) probabilities of the items at their ranks, for a column ``propensity``; NaN if
            unknown, null in the frame.
        inclusion_BK: (B, K) probabilities of the items in the lists, for a column ``inclusion``.
    """
    rows, places = np.nonzero(lists.ids != ABSENT)
    ids = np.asarray(item_ids)
    given = {"propensity": placement_BK, "inclusion": inclusion_BK}
    chances = {
        name: pl.Series(values_BK[rows, places], dtype=pl.Float64).fill_nan(None)
        for name, values_BK in given.items()
        if values_BK is not None
    }
    return pl.DataFrame(
        {
            "user_id": pl.Series([names[row] for row in rows.tolist()], dtype=pl.String),
            "item_id": pl.Series([str(item) for item in ids[lists.ids[rows, places]]], dtype=pl.String),
            "rank": pl.Series(places + 1, dtype=pl.Int32),
            "score": pl.Series(lists.scores[rows, places], dtype=pl.Float32),
            **chances,
        }
    )
