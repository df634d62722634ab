"""Ranked lists for histories: allowed items, scores, reranking, and a Parquet file of many users."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from crossrec.config import ComponentOptions, Config, validate
from crossrec.exploration import ExplorerOptions
from crossrec.exploration.base import ExploredLists
from crossrec.model.text_scored import TextScoredRecommender
from crossrec.rerank.recommender import RerankConfig, RerankedRecommender
from crossrec.runtime.files import atomic_path
from crossrec.runtime.progress import progress_bar
from crossrec.runtime.ranking import recommend_by_score, top_k
from crossrec.runtime.ranking.search import pick_candidates
from crossrec.serving.filters import Filter
from crossrec.serving.items import ServedItems
from crossrec.serving.model import ItemTiles, ServedModel
from crossrec.types import ABSENT, InputError, Sequences, TopK


class AllowedItems:
    """Recommender restricted to allowed items; its lists are full if there are enough of them.

    Args:
        tiles: scores all items.
        allowed_N: (N,) bool; all items when None.
    """

    def __init__(self, tiles: ItemTiles, allowed_N: Tensor | None) -> None:
        self._tiles = tiles
        self._barred_N = None if allowed_N is None else ~allowed_N

    @property
    def n_items(self) -> int:
        """N, of the whole catalogue."""
        return self._tiles.n_items

    def fit(self, train: Sequences) -> Self:
        """Raise: the recommender is trained already.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("this recommender was loaded for use; train through crossrec.experiment")

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return (B, N) float32 scores, or (B, K) for candidates; -inf for items that are not allowed."""
        scores_BN = self._tiles.score(histories)
        if self._barred_N is not None:
            scores_BN[:, self._barred_N] = -torch.inf
        return scores_BN if candidates is None else pick_candidates(scores_BN, candidates)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k allowed items for each history, ties broken by the lower index."""
        return recommend_by_score(self, histories, k, exclude)


CANDIDATES = 100
"""Number of candidates of an explorer without rerankers, which set their own number."""
RUN_RERANK = "run"
"""Name of the run's own reranking."""


def as_rerank(
    given: RerankConfig | ComponentOptions | str | Mapping[str, Any] | None, of_run: RerankConfig | None
) -> RerankConfig | None:
    """Return the chain of rerankers for an argument.

    Args:
        given: configuration; options of one reranker; name of one reranker, with its default strength;
            ``"run"`` for the run's own; mapping as in YAML, of the whole chain or of one stage; None for no
            reranking.
        of_run: reranking of the run's configuration.

    Raises:
        InputError: if the run has no reranking.
        ConfigError: if there is no such reranker, or it has no such option.
    """
    if given is None or isinstance(given, RerankConfig):
        return given
    if isinstance(given, ComponentOptions | type):
        return validate(RerankConfig, {"stages": [given]}, "rerank", trust_code=True)
    if given == RUN_RERANK:
        if of_run is None:
            raise InputError(
                "rerank='run': this run has no reranking of its own; name a reranker, such as mmr"
            )
        return of_run
    stage = {"type": given} if isinstance(given, str) else dict(given)
    content = stage if "stages" in stage else {"stages": [stage]}
    return validate(RerankConfig, content, "rerank", trust_code=True)


class _Exploration(Config):
    explore: ExplorerOptions


def as_explorer(given: ComponentOptions | str | Mapping[str, Any] | None) -> ComponentOptions | None:
    """Return the options of an explorer.

    Args:
        given: options; name of an explorer, with its default options; mapping as in YAML; None for no
            exploration.

    Raises:
        ConfigError: if there is no such explorer, or it has no such option.
    """
    if given is None:
        return None
    content = {"explore": {"type": given} if isinstance(given, str) else given}
    return validate(_Exploration, content, "recommend", trust_code=True).explore


@dataclass(frozen=True)
class ListOptions:
    """Options of lists.

    Args:
        k: length of the lists.
        rerank: rerankers over the best candidates; None for the model's own order.
        filters: tests that every listed item passes.
        context: column -> value that every listed item has.
        exclude_seen: whether to omit the history's items.
        modalities: modalities that the model reads; all when None.
        explore: explorer that draws the lists from the best candidates; None for the best items.
        seed: seed of the explorer's random numbers.

    Raises:
        InputError: if k is not at least 1.
    """

    k: int
    rerank: RerankConfig | None = None
    filters: tuple[Filter, ...] = ()
    context: Mapping[str, str | float] | None = None
    exclude_seen: bool = True
    modalities: Collection[str] | None = None
    explore: ComponentOptions | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k={self.k}: lists have at least one item")


def rank(model: ServedModel, items: ServedItems, histories: Sequences, options: ListOptions) -> TopK:
    """Return (B, k) lists; items are filtered before ranking, so that lists are full if enough items pass.

    Raises:
        InputError: if a filter, the context, a reranker or the modalities don't fit catalogue and model.
    """
    own = _allowed(model, items, options)
    exclude = histories if options.exclude_seen else None
    if options.rerank is None:
        return own.recommend(histories, options.k, exclude)
    reranked = RerankedRecommender(
        own,
        items.rerankers(options.rerank),
        candidates=options.rerank.candidates,
        name=model.recommender.name,
        device=model.recommender.device,
    )
    return reranked.recommend(histories, options.k, exclude)


def explore_lists(
    model: ServedModel,
    items: ServedItems,
    histories: Sequences,
    users_B: np.ndarray,
    options: ListOptions,
) -> ExploredLists:
    """Draw (B, k) lists from the best candidates that pass the filters.

    Args:
        model: model of the candidates.
        items: catalogue.
        histories: B rows.
        users_B: (B,) numbers of the users, for random numbers.
        options: options of the lists with an explorer; rerankers order its candidates.

    Raises:
        InputError: as in :func:`rank`, and if the explorer does not fit catalogue and model.
    """
    assert options.explore is not None
    stages = () if options.rerank is None else items.rerankers(options.rerank)
    built, device = options.explore.build(items.table), model.recommender.device
    built.attach(model.view(options.modalities).recommender)
    n_candidates = CANDIDATES if options.rerank is None else options.rerank.candidates
    width = min(max(n_candidates, options.k), model.recommender.n_items)
    exclude = histories if options.exclude_seen else None
    pool = _allowed(model, items, options).recommend(histories, width, exclude)
    found: ExploredLists = built.explore_lists(
        pool, histories, users_B, options.k, seed=options.seed, stages=stages, device=device
    )
    return found


def _allowed(
    model: ServedModel, items: ServedItems, options: ListOptions
) -> AllowedItems | TextScoredRecommender:
    """Return the model restricted to allowed items; a text scorer reads them if all modalities are read."""
    allowed_N = items.allowed(options.filters, options.context)
    mask_N = None if allowed_N is None else torch.from_numpy(allowed_N).to(model.recommender.device)
    allowed = AllowedItems(model.view(options.modalities), mask_N)
    some = options.modalities is not None and set(options.modalities) != set(model.modalities)
    if model.text_scorer is None or some:
        return allowed
    first = model.recommender
    return TextScoredRecommender(allowed, model.text_scorer, first.item_vectors, first.name)


def most_clicked(items: ServedItems, k: int, filters: Sequence[Filter]) -> TopK:
    """Return (1, k), the items with the most training clicks, ties broken by the lower index."""
    counts_1N = torch.from_numpy(np.asarray(items.train_counts, dtype=np.float32))[None].clone()
    allowed_N = items.allowed(filters, None)
    if allowed_N is not None:
        counts_1N[:, torch.from_numpy(~allowed_N)] = -torch.inf
    return top_k(counts_1N, k)


def nearest(vectors_ND: np.ndarray, present_N: np.ndarray, row: int, k: int) -> TopK:
    """Return (1, k), the other items whose vectors have the highest cosine with that of one item.

    Args:
        vectors_ND: vectors of any length.
        present_N: (N,) bool, which items have a vector.
        row: catalogue index of the item.
        k: length of the list.
    """
    length_N = np.maximum(np.linalg.norm(vectors_ND, axis=1), np.finfo(np.float32).tiny)
    cosine_N = (vectors_ND @ vectors_ND[row]) / (length_N * length_N[row])
    cosine_N[~present_N] = -np.inf
    cosine_N[row] = -np.inf
    return top_k(torch.from_numpy(cosine_N.astype(np.float32))[None], k)


def as_sequences(
    histories: Sequence[Sequence[int]], times: Sequence[Sequence[float]] | None = None
) -> Sequences:
    """Return histories of catalogue indices, with the times of the clicks where they are given.

    Raises:
        InputError: if a history has different numbers of times and clicks.
    """
    found = Sequences.from_lists(histories)
    if times is None:
        return found
    for clicks, own in zip(histories, times, strict=True):
        if len(clicks) != len(own):
            raise InputError(f"a history of {len(clicks)} clicks came with {len(own)} times")
    flat = np.asarray([time for own in times for time in own], dtype=np.int64)
    return Sequences(found.offsets, found.items, flat)


USERS_AT_A_TIME = 1024
"""Users ranked, and written as one row group, at a time."""


def write_lists(
    path: Path,
    user_ids: Sequence[str],
    ranked: Callable[[Sequence[str]], tuple[TopK, Sequence[str]]],
    batch_size: int,
) -> None:
    """Write ``user_id``, ``item_id``, ``rank`` (from 1) and ``score``; the file appears when it is complete.

    Args:
        path: path of the file.
        user_ids: users in the order of the file.
        ranked: function of some users that returns their lists and the catalogue's original ids.
        batch_size: users ranked at a time, each batch a row group; bounds memory.
    """
    columns: list[tuple[str, pa.DataType]] = [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float32()),
    ]
    schema = pa.schema(columns)
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
        progress_bar("lists of users", len(user_ids)) as advance,
    ):
        for start in range(0, len(user_ids), batch_size):
            users = user_ids[start : start + batch_size]
            lists, item_ids = ranked(users)
            row, place = np.nonzero(lists.ids != ABSENT)
            values = [
                pa.array(users, pa.string()).take(pa.array(row)),
                pa.array([item_ids[item] for item in lists.ids[row, place]], pa.string()),
                pa.array((place + 1).astype(np.int32)),
                pa.array(lists.scores[row, place].astype(np.float32)),
            ]
            writer.write_table(pa.table(values, schema=schema))
            advance(len(users))
