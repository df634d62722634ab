"""Cost of compressed item vectors: loss of ndcg@10, memory, and time per user, compared with exact search.

    python benchmarks/quantized.py RUN [RUN …] [--part valid] [--repeats 5]

Each run's item vectors are searched for the queries of its split: exactly (blocks of a matrix product), by
FAISS's graph (HNSW), and with all items in compressed form. The queries are computed beforehand and aren't in
the times, which are wall-clock times of one thread, the least of the repeats. Memory is that of the index;
the model keeps its own float32 vectors, which are needed to add items and to score single ones. Differences
are paired over users, with Student's 95 % interval.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Self

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from crossrec.ensemble.retrievers import Index, VectorRetriever
from crossrec.evaluation.bootstrap import estimate_difference
from crossrec.evaluation.matching import distinct
from crossrec.evaluation.metrics.accuracy import ndcg
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.results import SplitPart
from crossrec.experiment.run_folder import read_run
from crossrec.types import Sequences, TopK

K = 10
INDEXES: tuple[Index, ...] = ("exact", "faiss", "int8", "pq")


class Precomputed:
    """Vectors and queries of a model, for histories in a fixed order.

    Args:
        vectors_ND: item vectors.
        queries_QD: queries of all histories.
    """

    name = "vectors"

    def __init__(self, vectors_ND: torch.Tensor, queries_QD: torch.Tensor) -> None:
        self.vectors_ND, self.queries_QD = vectors_ND, queries_QD
        self.n_items = len(vectors_ND)

    def fit(self, train: Sequences) -> Self:
        """Return the model as it is."""
        return self

    def item_vectors(self) -> torch.Tensor:
        """Return the item vectors."""
        return self.vectors_ND

    def queries(self, histories: Sequences) -> torch.Tensor:
        """Return the queries of all histories."""
        return self.queries_QD

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        """Return the scores of all items."""
        return self.queries_QD @ self.vectors_ND.T

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the exact lists."""
        return VectorRetriever(self, "exact").recommend(histories, k, exclude)


def bytes_of(retriever: VectorRetriever, index: Index) -> int:
    """Memory of an index."""
    import faiss

    if index == "exact":
        return int(retriever.model.item_vectors().numel()) * 4
    return int(faiss.serialize_index(retriever._built).nbytes)


def measure(run: Path, part: SplitPart, repeats: int, console: Console) -> None:
    """Prints the table of one run."""
    prepared = PreparedExperiment.of(read_run(run, []))
    split = prepared.data.split
    queries = split.queries(part)
    histories = split.histories(queries)
    recommender = load_recommender(prepared)
    model = Precomputed(recommender.item_vectors(), recommender.queries(histories))
    excluded = histories if prepared.config.evaluation.exclude_seen else None
    n_targets_Q = distinct(queries.targets, split.n_items).lengths
    _, user_of_query = np.unique(queries.users, return_inverse=True)

    table = Table(title=f"{run.name}: {model.n_items:,} items, {model.vectors_ND.shape[1]} wide, {part}")
    for column in ("index", "ndcg@10", "difference", "same items", "KiB", "bytes per item", "µs per user"):
        table.add_column(column, justify="left" if column == "index" else "right")
    exact_U, exact_ids = np.zeros(0), np.zeros((0, K), np.int64)
    for index in INDEXES:
        retriever = VectorRetriever(model, index)
        lists, seconds = retriever.recommend(histories, K, excluded), float("inf")
        for _ in range(repeats):
            started = time.perf_counter()
            lists = retriever.recommend(histories, K, excluded)
            seconds = min(seconds, time.perf_counter() - started)
        values_Q = ndcg(queries.targets.contains(lists.ids), n_targets_Q, K)
        values_U = np.bincount(user_of_query, values_Q) / np.bincount(user_of_query)
        if index == "exact":
            exact_U, exact_ids = values_U, lists.ids
        found = estimate_difference(values_U - exact_U)
        low, high = found["ci95"]
        same = np.mean([len(set(a) & set(b)) / K for a, b in zip(lists.ids, exact_ids, strict=True)])
        size = bytes_of(retriever, index)
        table.add_row(
            index,
            f"{values_U.mean():.4f}",
            "" if np.isnan(low) else f"{found['value']:+.4f} [{low:+.4f}, {high:+.4f}]",
            f"{same:.3f}",
            f"{size / 1024:,.0f}",
            f"{size / model.n_items:,.0f}",
            f"{1e6 * seconds / len(histories):.1f}",
        )
    console.print(table)


def main() -> None:
    """Measures every run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--part", choices=("valid", "test"), default="test")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    import faiss

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    for run in args.runs:
        measure(run, args.part, args.repeats, Console(width=120))


if __name__ == "__main__":
    main()
