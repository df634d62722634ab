"""Choice of item-kNN's weight in a trained model, and of the score of cold items, on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from crossrec.baselines.item_knn import ItemKNN
from crossrec.experiment.config import NeighboursConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import show
from crossrec.experiment.run_folder import add_account
from crossrec.experiment.validation import metrics_of, sample_queries, smallest_close
from crossrec.model.neighbours import NeighbourScores, mixing_columns
from crossrec.model.recommender import NeuralRecommender
from crossrec.runtime import distributed
from crossrec.runtime.progress import progress_bar
from crossrec.runtime.ranking import rank_by_vectors
from crossrec.training.checkpoint import WEIGHTS, read_state, save_weights
from crossrec.types import AddedScores, Sequences, TopK

WEIGHTS_TRIED = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 50.0)
COARSE = (3.0, 10.0, 30.0)
"""Weights at which recencies are compared with each other."""
RECENCIES = (0.95, 0.9, 0.7)
SCORES = 1 << 26
"""Maximum number of scores of the sampled validation queries: 256 MiB."""
FOLDS = 3
HELD_SHARE = 0.1
"""Share of the items that each fold treats as cold items."""
LARGEST_BONUS = 50.0
BISECTIONS = 14
COMPARED = 1_000
"""Number of queries on which the bonus of cold items is chosen."""


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
        size = max(SCORES // max(split.n_items, 1), 64)
        self.queries = sample_queries(split, min(size, config.queries), (prepared.config.seed, 1))
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
        config = self.config
        weights = WEIGHTS_TRIED if config.weight is None else (0.0, config.weight)
        with progress_bar("neighbours on validation", FOLDS + 2) as advance:
            knn = distributed.gather_objects(self._best_recency() if config.tune else config.item_knn)[0]
            advance(1)
            unit = self._scores(knn)
            added = unit.added(self._read(len(self.queries)))
            values = {tried: self._value(unit, added * tried) for tried in weights}
            weight = config.weight
            if weight is None:
                weight = distributed.gather_objects(smallest_close(values))[0]
            advance(1)
            bonus = config.cold_bonus
            if bonus is None:
                bonus = distributed.gather_objects(self._parity(knn, weight, advance))[0]
        scores = unit.with_weights(weight, bonus)
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
            self._value(scores, added * weight),
            len(self.queries),
        )
        return chosen, scores

    def _best_recency(self) -> ItemKNN.Options:
        """Return the options with the recency that has the best value at the best of some weights.

        The other options are left as they are: their differences on validation are mostly noise, and the best
        of many is worse on other queries than a usual value.
        """
        asked = self.config.item_knn
        weights = COARSE if self.config.weight is None else (self.config.weight,)

        def value(options: ItemKNN.Options) -> float:
            unit = self._scores(options)
            added = unit.added(self._read(len(self.queries)))
            return max(self._value(unit, added * weight) for weight in weights)

        recencies = dict.fromkeys([asked.recency, *RECENCIES])
        tried = [asked.model_copy(update={"recency": recency}) for recency in recencies]
        return tried[int(np.argmax([value(options) for options in tried]))]

    def _scores(self, options: ItemKNN.Options) -> NeighbourScores:
        """Return the scores with these similarities, of weight 1 and without a bonus."""
        return self._with(self._similarity(options), self._usual_mixing, options.recency, self.share_N)

    def _similarity(self, options: ItemKNN.Options) -> csr_matrix:
        return options.build(self.prepared.items).fit(self.prepared.data.split.train).similarity

    @cached_property
    def _usual_mixing(self) -> csr_matrix:
        return self._mixing(self.share_N, self.counts_N > 0)

    def _mixing(self, share_N: np.ndarray, warm_N: np.ndarray) -> csr_matrix:
        config = self.config
        return mixing_columns(share_N, self.content_ND, warm_N, config.alike, config.temperature)

    def _with(
        self, similarity: csr_matrix, mixing: csr_matrix, recency: float, share_N: np.ndarray
    ) -> NeighbourScores:
        return NeighbourScores(
            similarity,
            mixing,
            share_N,
            weight=1.0,
            recency=recency,
            cold_bonus=0.0,
            alike=self.config.alike,
            temperature=self.config.temperature,
        )

    def _vectors(self, share_N: np.ndarray) -> Tensor:
        """Return (N, D) item vectors, as far as an item is cold its vector without ids."""
        if not self.has_content.any():
            return self.full_ND
        blend_N1 = torch.from_numpy(share_N * self.has_content)[:, None]
        return torch.lerp(self.full_ND, torch.from_numpy(self.content_ND), blend_N1)

    def _read(self, count: int) -> Sequences:
        """Return the clicks that the model reads of the first queries."""
        return self._first(count).tail(self.recommender.network.history_length)

    def _first(self, count: int) -> Sequences:
        return self.histories.take(np.arange(min(count, len(self.queries))))

    def _lists(self, vectors_ND: Tensor, added: csr_matrix, bonus_N: np.ndarray) -> TopK:
        """Return lists of as many of the sampled queries, from the first, as ``added`` has rows."""
        evaluation, count = self.prepared.config.evaluation, added.shape[0]
        histories = self._first(count)
        extra = AddedScores(added, bonus_N, histories.lengths > 0)
        exclude = histories if evaluation.exclude_seen else None
        return rank_by_vectors(self.queries_QD[:count], vectors_ND, max(evaluation.ks), exclude, added=extra)

    def _value(self, scores: NeighbourScores, added: csr_matrix) -> float:
        """Return the value of ``trainer.metric`` over as many of the queries as ``added`` has rows."""
        lists = self._lists(self._vectors(self.share_N), added, scores.bonus(len(self.counts_N)))
        queries = self.queries.take(np.arange(added.shape[0]))
        return metrics_of(self.prepared, lists, queries)[self.prepared.config.trainer.metric]

    def _parity(self, knn: ItemKNN.Options, weight: float, advance: Callable[[int], None]) -> float:
        """Return the bonus with which cold items are listed as often as if they had their clicks.

        In each fold, a tenth of the clicked items is treated as cold items: their clicks and ids are hidden.
        The bonus is found by bisection.
        """
        n_items = len(self.counts_N)
        warm = np.flatnonzero((self.counts_N > 0) & self.has_content)
        shuffled = np.random.default_rng((self.prepared.config.seed, 2)).permutation(warm)
        held = int(len(warm) * HELD_SHARE)
        if not held:
            return 0.0
        none_N = np.zeros(n_items, np.float32)
        usual = self._lists(
            self._vectors(self.share_N),
            self._scores(knn).added(self._read(COMPARED)) * weight,
            none_N,
        )
        similarity, found = self._similarity(knn), []
        for fold in range(FOLDS):
            held_N = np.zeros(n_items, bool)
            held_N[shuffled[fold * held : (fold + 1) * held]] = True
            share_N = np.where(held_N, np.float32(1), self.share_N)
            mixing = self._mixing(share_N, (self.counts_N > 0) & ~held_N)
            scores = self._with(similarity, mixing, knn.recency, share_N)
            added = scores.added(self._read(COMPARED)) * weight
            vectors_ND, wanted = self._vectors(share_N), _exposure(usual, held_N)
            low, high = -LARGEST_BONUS, LARGEST_BONUS
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                raised_N = (middle * held_N).astype(np.float32)
                lists = self._lists(vectors_ND, added, raised_N)
                if _exposure(lists, held_N) < wanted:
                    low = middle
                else:
                    high = middle
            found.append((low + high) / 2)
            advance(1)
        return round(float(np.mean(found)), 4)


def _exposure(lists: TopK, chosen_N: np.ndarray) -> float:
    """Return the share of the places that chosen items take."""
    return float(chosen_N[lists.ids[lists.ids >= 0]].mean())
