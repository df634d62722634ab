"""Choice of item-kNN's weight in a trained model, and of the score of cold items, on validation."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.baselines.item_knn import ItemKNN
from crossrec.data.splits.base import Queries
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.experiment.baselines import VALIDATED
from crossrec.experiment.config import NeighboursConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import show
from crossrec.experiment.run_folder import add_account
from crossrec.model.neighbours import NeighbourScores, shrunk_columns
from crossrec.model.recommender import NeuralRecommender
from crossrec.runtime import distributed
from crossrec.runtime.progress import progress_bar
from crossrec.runtime.ranking import AddedScores, rank_by_vectors
from crossrec.training.checkpoint import WEIGHTS, read_state, save_weights
from crossrec.types import TopK

WEIGHTS_TRIED = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 50.0)
COARSE = (3.0, 10.0, 30.0)
"""Weights at which similarities are compared with each other."""
RECENCIES = (0.95, 0.9, 0.7)
SCORES = 1 << 26
"""Maximum number of scores of the sampled validation queries: 256 MiB."""
FOLDS = 3
HELD_SHARE = 0.1
"""Share of the items that each fold treats as cold items."""
LARGEST_BONUS = 50.0


def mix_in_neighbours(prepared: PreparedExperiment, recommender: NeuralRecommender) -> None:
    """Add item-kNN's scores to a trained network, and save them with its best weights.

    Weights that already hold them are left as they are, so that a finished run is not changed.

    Args:
        prepared: prepared experiment whose configuration has ``neighbours``.
        recommender: its trained recommender; every process must call this.
    """
    config = prepared.config.neighbours
    if config is None:
        return
    folder, network = prepared.config.run_folder / "checkpoints" / "best", recommender.network
    if (folder / WEIGHTS).exists():
        network.neighbours = NeighbourScores.from_saved(read_state(folder / WEIGHTS).tensors)
    if network.neighbours is None:
        choice, network.neighbours = NeighbourChoice(prepared, recommender, config).best()
        save_weights(network, folder, prepared.data.identity)
        if distributed.is_main():
            add_account(prepared.config, "neighbours", asdict(choice))
        show(choice.describe(prepared.config.trainer.metric))
    network.neighbours.to(recommender.device)
    recommender.refresh()


@dataclass(frozen=True)
class ChosenNeighbours:
    """The chosen similarities and weights, and their validation figures.

    Args:
        similarity: weighting of the clicks.
        neighbours: items kept for each item.
        k1, b, recency: options of the similarity.
        weight: weight of the neighbours' score.
        cold_bonus: score added to cold items.
        alone: validation value of the network alone, over the sampled queries.
        mixed: value with the neighbours, without the bonus.
        with_bonus: value with both.
        n_queries: number of sampled validation queries.
    """

    similarity: str
    neighbours: int
    k1: float
    b: float
    recency: float
    weight: float
    cold_bonus: float
    alone: float
    mixed: float
    with_bonus: float
    n_queries: int

    def describe(self, metric: str) -> str:
        """Return one line for the log."""
        return (
            f"Neighbours: item-kNN {self.similarity}, weight {self.weight:g}, recency {self.recency:g}, "
            f"cold items {self.cold_bonus:+.2f}; validation {metric} {self.alone:.4f} alone, "
            f"{self.mixed:.4f} with neighbours, {self.with_bonus:.4f} with cold items raised "
            f"({self.n_queries:,} queries)"
        )


class NeighbourChoice:
    """Choice of neighbours on a sample of the validation queries.

    Args:
        prepared: prepared experiment.
        recommender: trained recommender without neighbours.
        config: options, with what is to be chosen.
    """

    def __init__(
        self, prepared: PreparedExperiment, recommender: NeuralRecommender, config: NeighboursConfig
    ) -> None:
        self.prepared, self.recommender, self.config = prepared, recommender, config
        split = prepared.data.split
        self.counts_N = split.train_counts
        valid, size = split.valid, max(SCORES // max(split.n_items, 1), 64)
        rows = np.arange(len(valid))
        if len(rows) > min(size, config.queries):
            rows = np.random.default_rng((prepared.config.seed, 1)).permutation(len(rows))
            rows = np.sort(rows[: min(size, config.queries)])
        self.queries = Queries(valid.users[rows], valid.ends[rows], valid.targets.take(rows))
        self.histories = split.histories(self.queries)
        self.queries_QD = recommender.queries(self.histories).cpu()
        self.full_ND = recommender.item_vectors().cpu()
        self.content_ND = recommender.content_vectors()

    @cached_property
    def has_content(self) -> np.ndarray:
        """(N,) bool, items with a vector without ids."""
        return np.asarray(np.linalg.norm(self.content_ND, axis=1) > 0)

    @cached_property
    def share_N(self) -> np.ndarray:
        """(N,) share of each item that is treated as a cold item."""
        shrinkage = self.config.shrinkage if self.has_content.any() else 0.0
        shares = np.divide(
            shrinkage,
            self.counts_N + shrinkage,
            out=np.zeros(len(self.counts_N)),
            where=self.counts_N + shrinkage > 0,
        )
        return np.where(self.counts_N == 0, 1.0, np.where(self.has_content, shares, 0.0)).astype(np.float32)

    def best(self) -> tuple[ChosenNeighbours, NeighbourScores]:
        """Return the choice and the scores; the main process decides for all."""
        trials = 0 if self.config.weight is not None else len(WEIGHTS_TRIED)
        knn, weight = self.config.item_knn, self.config.weight
        with progress_bar("neighbours on validation", trials + FOLDS + 1) as advance:
            if self.config.tune:
                knn = self._best_similarity()
            similarity = self._similarity(knn)
            advance(1)
            values = {}
            for tried in WEIGHTS_TRIED if weight is None else (0.0, weight):
                values[tried] = self._value(self._scores(similarity, knn.recency, tried, 0.0))
                advance(1)
            if weight is None:
                weight = max(values, key=lambda tried: (values[tried], -tried))
            weight, knn = distributed.gather_objects((weight, knn))[0]
            bonus = self.config.cold_bonus
            if bonus is None:
                bonus = self._parity(self._similarity(knn), knn.recency, weight, advance)
                bonus = distributed.gather_objects(bonus)[0]
            scores = self._scores(self._similarity(knn), knn.recency, weight, bonus)
        chosen = ChosenNeighbours(
            knn.similarity,
            knn.neighbours,
            knn.k1,
            knn.b,
            knn.recency,
            weight,
            bonus,
            values[0.0],
            values[weight],
            self._value(scores),
            len(self.queries),
        )
        return chosen, scores

    def _best_similarity(self) -> ItemKNN.Options:
        """Return the weighting, then the recency, with the best value at the best of some weights."""
        asked = self.config.item_knn
        weightings = {(found.k1, found.b) for found in asked.grid()} | {(asked.k1, asked.b)}
        tried = [asked.model_copy(update={"k1": k1, "b": b}) for k1, b in sorted(weightings)]
        best = self._best_of(tried)
        return self._best_of([best, *(best.model_copy(update={"recency": r}) for r in RECENCIES)])

    def _best_of(self, tried: Listing[ItemKNN.Options]) -> ItemKNN.Options:
        weights = COARSE if self.config.weight is None else (self.config.weight,)

        def value(options: ItemKNN.Options) -> float:
            similarity = self._similarity(options)
            found = (self._scores(similarity, options.recency, weight, 0.0) for weight in weights)
            return max(self._value(scores) for scores in found)

        values = [value(options) for options in tried]
        return tried[int(np.argmax(values))]

    def _similarity(self, options: ItemKNN.Options) -> csr_matrix:
        """Return (N, N) similarities of the training clicks; the last ones are kept."""
        key = options.model_copy(update={"recency": 1.0})
        if getattr(self, "_last", (None, None))[0] != key:
            fitted = options.build(self.prepared.items).fit(self.prepared.data.split.train)
            self._last = (key, fitted.similarity)
        return self._last[1]

    def _scores(
        self,
        similarity: csr_matrix,
        recency: float,
        weight: float,
        bonus: float,
        share_N: np.ndarray | None = None,
        warm_N: np.ndarray | None = None,
    ) -> NeighbourScores:
        config, share_N = self.config, self.share_N if share_N is None else share_N
        warm_N = self.counts_N > 0 if warm_N is None else warm_N
        columns = (similarity, share_N, self.content_ND, warm_N, config.alike, config.temperature)
        return NeighbourScores(
            shrunk_columns(*columns),
            share_N,
            weight=weight,
            recency=recency,
            cold_bonus=bonus,
            alike=config.alike,
            temperature=config.temperature,
        )

    def _vectors(self, share_N: np.ndarray) -> Tensor:
        """Return (N, D) item vectors, as far as an item is cold its vector without ids."""
        if not self.has_content.any():
            return self.full_ND
        blend_N1 = torch.from_numpy(share_N * self.has_content)[:, None]
        return torch.lerp(self.full_ND, torch.from_numpy(self.content_ND), blend_N1)

    def _lists(self, scores: NeighbourScores, bonus_N: np.ndarray | None = None) -> TopK:
        """Return the sampled queries' lists."""
        evaluation, share_N = self.prepared.config.evaluation, scores.cold_share(len(self.counts_N))
        item_N = scores.bonus(len(self.counts_N)) if bonus_N is None else bonus_N
        added = AddedScores(scores.added(self.histories), item_N, self.histories.lengths > 0)
        exclude = self.histories if evaluation.exclude_seen else None
        vectors_ND = self._vectors(share_N)
        return rank_by_vectors(self.queries_QD, vectors_ND, max(evaluation.ks), exclude, added=added)

    def _value(self, scores: NeighbourScores) -> float:
        """Return the value of ``trainer.metric``."""
        config = self.prepared.config
        wanted = config.evaluation.model_copy(update={"metrics": VALIDATED, "n_bootstrap": 0})
        items = self.prepared.items
        found = evaluate_lists(self._lists(scores), self.queries, self.histories, items, wanted)
        return float(found.metrics[config.trainer.metric]["value"])

    def _parity(self, similarity: csr_matrix, recency: float, weight: float, advance: Any) -> float:
        """Return the bonus with which cold items are listed as often as if they had their clicks.

        In each fold, a tenth of the clicked items is treated as cold items: their clicks and ids are hidden.
        The bonus is found by bisection.
        """
        warm = np.flatnonzero((self.counts_N > 0) & self.has_content)
        shuffled = np.random.default_rng((self.prepared.config.seed, 2)).permutation(warm)
        count = int(len(warm) * HELD_SHARE)
        if not count:
            return 0.0
        usual = self._lists(self._scores(similarity, recency, weight, 0.0)).ids
        found = []
        for fold in range(FOLDS):
            held_N = np.zeros(len(self.counts_N), bool)
            held_N[shuffled[fold * count : (fold + 1) * count]] = True
            share_N = np.where(held_N, np.float32(1), self.share_N)
            warm_N = (self.counts_N > 0) & ~held_N
            scores = self._scores(similarity, recency, weight, 0.0, share_N, warm_N)
            wanted = _exposure(usual, held_N)

            low, high = -LARGEST_BONUS, LARGEST_BONUS
            for _ in range(16):
                middle = (low + high) / 2
                raised_N = (middle * held_N).astype(np.float32)
                if _exposure(self._lists(scores, raised_N).ids, held_N) < wanted:
                    low = middle
                else:
                    high = middle
            found.append((low + high) / 2)
            advance(1)
        return round(float(np.mean(found)), 4)


def _exposure(ids_QK: np.ndarray, chosen_N: np.ndarray) -> float:
    """Return the share of the places that chosen items take."""
    return float(chosen_N[ids_QK[ids_QK >= 0]].mean())
