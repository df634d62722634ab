"""A trained recommender, ready to recommend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import polars as pl

from crossrec.config import ComponentOptions
from crossrec.data.fitted import check_seed, lists_frame
from crossrec.data.interactions import UserLog
from crossrec.explain.content import ItemContent
from crossrec.explain.explainer import Explainer
from crossrec.explain.explanation import Explanation, Method
from crossrec.rerank.exposure import ExposureStore
from crossrec.rerank.recommender import RerankConfig
from crossrec.serving.filters import Filter, as_filters
from crossrec.serving.lists import (
    USERS_AT_A_TIME,
    ListOptions,
    as_explorer,
    as_rerank,
    as_sequences,
    explore_lists,
    rank,
    write_lists,
)
from crossrec.serving.loaded_items import LoadedItems
from crossrec.serving.opening import open_recommender
from crossrec.serving.pretrained.files import Pictures
from crossrec.serving.pretrained.save import save_folder, upload
from crossrec.serving.results import Recommendations
from crossrec.serving.state import RecommenderState
from crossrec.types import InputError, Sequences, TopK

Rerank = RerankConfig | ComponentOptions | str | Mapping[str, Any] | None
Explore = ComponentOptions | str | Mapping[str, Any] | None


class LoadedRecommender(LoadedItems):
    """Trained recommender, ready to recommend; returned by :func:`crossrec.load`.

    A user is represented by a history. The history of a user in the log contains all of the user's clicks,
    including those of the validation and test splits. Calls from several threads wait for each other.

    Args:
        state: all parts of the recommender.
    """

    def __init__(self, state: RecommenderState) -> None:
        super().__init__(state)
        self._content: ItemContent | None = None

    @property
    def users(self) -> UserLog:
        """Users of the log."""
        return self.state.users

    @property
    def user_ids(self) -> Sequence[str]:
        """Original ids of the log's users; empty without a log."""
        return self.users.ids

    def history_of(self, user_id: str) -> list[str]:
        """Return the original ids of all items that a user of the log clicked, oldest first.

        Raises:
            InputError: if there is no such user, or no log.
        """
        return [self.item_ids[row] for row in self.users.histories([user_id]).items]

    @overload
    def recommend(
        self,
        history: Sequence[str] | None = None,
        *,
        user_id: str | None = None,
        times: Sequence[float] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        context: Mapping[str, str | float] | None = None,
        exclude_seen: bool | None = None,
        modalities: Collection[str] | None = None,
    ) -> Recommendations: ...

    @overload
    def recommend(
        self,
        *,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | None = None,
        times: Sequence[Sequence[float]] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        explore: Explore = None,
        seed: int = 0,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        context: Mapping[str, str | float] | None = None,
        exclude_seen: bool | None = None,
        modalities: Collection[str] | None = None,
    ) -> pl.DataFrame: ...

    def recommend(
        self,
        history: Sequence[str] | None = None,
        *,
        user_id: str | None = None,
        users: Sequence[str] | None = None,
        histories: Sequence[Sequence[str]] | None = None,
        times: Sequence[float] | Sequence[Sequence[float]] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        explore: Explore = None,
        seed: int = 0,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        context: Mapping[str, str | float] | None = None,
        exclude_seen: bool | None = None,
        modalities: Collection[str] | None = None,
    ) -> Recommendations | pl.DataFrame:
        """Return the best items for a history or a user of the log, or a data frame for several of them.

        Args:
            history: original ids, oldest first; may include added items.
            user_id: user of the log, in place of a history.
            users: several users of the log, for a data frame with the columns ``user_id``, ``item_id``,
                ``rank`` (from 1) and ``score``.
            histories: several histories, in place of users; ``user_id`` is then their number.
            times: times of the history's clicks, seconds, or a list of them per history; only for models and
                rerankers that read them.
            k: length of the list; at most the number of items.
            rerank: None for the model's own order; a reranker such as ``crossrec.MMR(diversity=0.2)``, or
                its name, such as ``"mmr"``, with its default strength; ``"run"`` for the run's own; a mapping
                as in YAML or a configuration.
            explore: None for the best items; an explorer such as ``crossrec.EpsilonGreedy(epsilon=0.1)``, its
                name, or a mapping as in YAML, which draws the lists of users or histories from the best
                candidates. The frame then has also the columns ``propensity``, the probability of the item
                at its rank, and ``inclusion``, that of the item anywhere in the list; null if unknown.
            seed: seed of the explorer's random numbers, which belong to users: another one draws other lists.
            filters: tests that every listed item passes. They apply before ranking, so that lists are full
                if enough items pass.
            context: column of the catalogue -> value that every listed item has, like ``allow`` of the
                reranker ``context``, but for the whole catalogue rather than a pool of candidates.
            exclude_seen: whether to omit the history's items; as in the run's evaluation
                (``evaluation.exclude_seen``) when None.
            modalities: subset of ``id``, ``text`` and ``image`` that the model reads, for the history's
                items as for the others; what is left out counts as missing, and a text scorer is skipped.
                All when None.

        Raises:
            InputError: for neither history nor user or both, an empty history, an unknown item, user, column,
                reranker or modality, or an explorer for a single list.
        """
        given = [value for value in (history, user_id, users, histories) if value is not None]
        if len(given) != 1:
            raise InputError("give one of history, user_id, users and histories")
        if isinstance(users, str):
            raise InputError(f"users is a list of user ids, not the text '{users}'")
        if users is not None or histories is not None:
            check_seed(seed)
            options = self._options(k, rerank, filters, context, exclude_seen, modalities)
            options = replace(options, explore=as_explorer(explore), seed=seed)
            return self._frame(users, histories, cast("Sequence[Sequence[float]] | None", times), options)
        if explore is not None:
            raise InputError("explore draws a data frame of lists: give users=[…] or histories=[…]")
        found = self.recommend_many(
            None if history is None else [history],
            user_ids=None if user_id is None else [user_id],
            times=None if times is None else [cast("Sequence[float]", times)],
            k=k,
            rerank=rerank,
            filters=filters,
            context=context,
            exclude_seen=exclude_seen,
            modalities=modalities,
        )
        return found[0]

    def recommend_many(
        self,
        histories: Sequence[Sequence[str]] | None = None,
        *,
        user_ids: Sequence[str] | None = None,
        times: Sequence[Sequence[float]] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        context: Mapping[str, str | float] | None = None,
        exclude_seen: bool | None = None,
        modalities: Collection[str] | None = None,
    ) -> list[Recommendations]:
        """Return lists for several histories or users at once; see :meth:`recommend`."""
        with self._lock:
            options = self._options(k, rerank, filters, context, exclude_seen, modalities)
            if histories is not None:
                asked = self._histories(histories, times)
            else:
                asked = self.users.histories(user_ids or [])
            lists = rank(self.model, self.items, asked, options)
            return [self._named(lists, row) for row in range(len(lists))]

    def _options(
        self,
        k: int,
        rerank: Rerank,
        filters: Sequence[Filter | Mapping[str, Any]],
        context: Mapping[str, str | float] | None,
        exclude_seen: bool | None,
        modalities: Collection[str] | None,
    ) -> ListOptions:
        """Return checked options of lists; arguments as in :meth:`recommend`."""
        chain, rules = as_rerank(rerank, self.config.rerank), as_filters(filters)
        without_seen = self._excludes_seen(exclude_seen)
        return ListOptions(self._places(k), chain, rules, context, without_seen, modalities)

    def _frame(
        self,
        users: Sequence[str] | None,
        histories: Sequence[Sequence[str]] | None,
        times: Sequence[Sequence[float]] | None,
        options: ListOptions,
        batch_size: int = USERS_AT_A_TIME,
    ) -> pl.DataFrame:
        """Return the lists of users or histories as a frame; some are ranked at a time to bound memory."""
        if histories is None:
            if times is not None:
                raise InputError("times belong to a history or histories; users' times are those of the log")
            names = [str(user) for user in users or []]
            asked, numbers_B = self.users.histories(names), self.users.rows(names)
        else:
            asked = self._histories(histories, times)
            names, numbers_B = [str(number) for number in range(len(asked))], np.arange(len(asked))
        frames = []
        for start in range(0, max(len(names), 1), batch_size):
            rows = np.arange(start, min(start + batch_size, len(names)))
            some, own = [names[row] for row in rows], asked.take(rows)
            with self._lock:
                if options.explore is None:
                    lists = rank(self.model, self.items, own, options)
                    frames.append(lists_frame(lists, some, self.item_ids))
                else:
                    drawn = explore_lists(self.model, self.items, own, numbers_B[rows], options)
                    chances = (drawn.placement_BK, drawn.inclusion_BK)
                    frames.append(lists_frame(drawn.lists, some, self.item_ids, *chances))
        return pl.concat(frames)

    @overload
    def recommend_batch(
        self,
        path: str | Path,
        *,
        user_ids: Sequence[str] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        exclude_seen: bool | None = None,
        batch_size: int = USERS_AT_A_TIME,
    ) -> Path: ...

    @overload
    def recommend_batch(
        self,
        path: None = None,
        *,
        user_ids: Sequence[str] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        exclude_seen: bool | None = None,
        batch_size: int = USERS_AT_A_TIME,
    ) -> pl.DataFrame: ...

    def recommend_batch(
        self,
        path: str | Path | None = None,
        *,
        user_ids: Sequence[str] | None = None,
        k: int = 10,
        rerank: Rerank = None,
        filters: Sequence[Filter | Mapping[str, Any]] = (),
        exclude_seen: bool | None = None,
        batch_size: int = USERS_AT_A_TIME,
    ) -> Path | pl.DataFrame:
        """Write the lists of all or some users of the log to one Parquet file, in bounded memory.

        Columns are ``user_id``, ``item_id``, ``rank`` (from 1) and ``score``.

        Args:
            path: path of the Parquet file, which appears when it is complete; None for a data frame.
            user_ids: all users of the log when None.
            k: length of the lists.
            rerank: as in :meth:`recommend`.
            filters: as in :meth:`recommend`.
            exclude_seen: as in :meth:`recommend`.
            batch_size: users ranked at a time, each batch a row group of the file; bounds memory.

        Returns:
            The path of the file, or the data frame.
        """
        options = self._options(k, rerank, filters, None, exclude_seen, None)
        users = self.user_ids if user_ids is None else user_ids
        if not users:
            raise InputError("there are no users to write lists of: this recommender came without a log")

        if path is None:
            return self._frame(users, None, None, options, batch_size)

        def ranked(some: Sequence[str]) -> tuple[TopK, list[str]]:
            # Items may be added between two batches of users.
            with self._lock:
                lists = rank(self.model, self.items, self.users.histories(some), options)
                return lists, self.item_ids

        write_lists(Path(path), users, ranked, batch_size)
        return Path(path)

    def keep_exposure(self, path: str | Path) -> None:
        """Keep the account of what rerankers with a quota show in a file, which other processes may share.

        Without it, the account is in memory and ends with this object.

        Args:
            path: SQLite file; it is created if missing, and continued otherwise.

        Raises:
            InputError: if the file is something else, or can't be written.
        """
        with self._lock:
            self.items.exposure = ExposureStore(Path(path))

    def explain(
        self,
        history: Sequence[str],
        item_id: str,
        *,
        times: Sequence[float] | None = None,
        methods: Collection[Method] | None = None,
    ) -> Explanation:
        """Explain an item's score after a history; see :func:`crossrec.explain.explainer.explain`.

        Args:
            history: original ids, oldest first.
            item_id: original id of the scored item.
            times: times of the history's clicks, seconds; only for models that read them.
            methods: explanation methods, each of which must be possible; all possible ones when None.

        Raises:
            InputError: if an item or method is unknown, or a method is not possible for this model and item.
        """

        with self._lock:
            asked = self._histories([history], None if times is None else [times])
            if self._content is None:
                cache_dir = self.model.contents[0].cache_dir
                self._content = ItemContent(self.catalog, self.config.model, cache_dir)
            self._content.catalog = self.catalog
            explainer = Explainer(self.model.recommender, self._content)
            return explainer.explain(asked, self.index(item_id), methods)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        with_users: bool = False,
        pictures: Pictures = "none",
        license: str | None = None,
    ) -> Path:
        """Write a folder that can be shared and loaded by :func:`crossrec.load`, with a model card.

        It contains weights, catalogue and encoder output as safetensors, Parquet and JSON. Loading it needs
        neither the run nor its data; frozen pretrained parts come from the same source as in the run. Added
        items are included.

        Args:
            folder: new folder, or one with an earlier version, which is replaced.
            with_users: whether to include the users' log, which reveals every user's clicks.
            pictures: ``none``, ``thumbnails`` or ``full``.
            license: license in the card, by the hub's identifier, such as ``apache-2.0``.

        Returns:
            The folder.

        Raises:
            InputError: if the folder contains something else, or there are no users to write.
        """

        with self._lock:
            save_folder(self.state, Path(folder), with_users=with_users, pictures=pictures, license=license)
        return Path(folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        token: str | None = None,
        message: str = "Upload recommender",
        with_users: bool = False,
        pictures: Pictures = "none",
        license: str | None = None,
    ) -> str:
        """Write a folder as :meth:`save_pretrained` does and upload it to the Hugging Face hub.

        Args:
            repo_id: repository ``user/name``; created if it does not exist.
            private: whether a new repository is private.
            token: access token of the hub; that of ``hf auth login`` when None.
            message: commit message.
            with_users: as in :meth:`save_pretrained`.
            pictures: as in :meth:`save_pretrained`.
            license: as in :meth:`save_pretrained`.

        Returns:
            URL of the commit.
        """

        with self._lock:
            return upload(
                self.state,
                repo_id,
                private=private,
                token=token,
                message=message,
                with_users=with_users,
                pictures=pictures,
                license=license,
            )

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str = "auto", trust_code: bool = False
    ) -> LoadedRecommender:
        """Load a recommender from a folder that :meth:`save_pretrained` wrote, or from the hub by name."""

        return cls(open_recommender(source, device=device, trust_code=trust_code))

    def _excludes_seen(self, asked: bool | None) -> bool:
        return self.config.evaluation.exclude_seen if asked is None else asked

    def _histories(
        self, histories: Sequence[Sequence[str]], times: Sequence[Sequence[float]] | None
    ) -> Sequences:
        for history in histories:
            if isinstance(history, str):
                raise InputError(f"a history is a list of item ids, not the text '{history}'")
            if not len(history):
                raise InputError("an empty history says nothing: popular() lists what others click most")
        return as_sequences([[self.index(item_id) for item_id in history] for history in histories], times)
