"""Where a cascade pays on a synthetic catalogue of 100,000 items, and where it can't.

    python benchmarks/cascade.py [--items 100000 --users 20000 --asked 500] [--model sasrec|llm] [--width 64]

Catalogue, vectors and clicks are synthetic: items fall into tastes, within which one click leads to items
close by. Two full models score the whole catalogue:

- ``dot product``: the sequence model as shipped, one pass over the history and a product with all items.
- ``pairs``: a small network that reads the history's vector and a candidate together, as rankers with
  crossed features do. The package has no such scorer; this one is defined here and trained on the first.

Each is set beside cascades that retrieve from tables of neighbours (item-kNN of the clicks, or nearest items
of the model's own vectors) and let it score C candidates only. Item vectors and tables are made once and
aren't in the times. Times are of the processor (what else runs on the machine is left out), the least of a
few repeats; the share of ndcg@10 has a bootstrap interval over users.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from cascade_models import PairScorer, full_model, train, train_pairs
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix

from crossrec.ensemble.cascade import Cascade, StageTimes
from crossrec.ensemble.retrievers import NeighbourRetriever, nearest_items
from crossrec.evaluation.bootstrap import interval, resample_means
from crossrec.evaluation.metrics.accuracy import ndcg
from crossrec.model.recommender import NeuralRecommender
from crossrec.runtime.ranking import rank_by_vectors
from crossrec.types import Recommender, Sequences, TopK

Result = TypeVar("Result")

LENGTH, TASTE, FEATURES, K = 20, 100, 64, 10
NEIGHBOURS = 100


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--asked", type=int, default=500, help="users who are ranked for")
    parser.add_argument("--model", choices=("sasrec", "llm"), default="sasrec")
    parser.add_argument("--llm-weights", default="package:smollm2-135m")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300, help="of training, of each model")
    parser.add_argument("--candidates", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def synthetic(args: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """(N, FEATURES) vectors of items, and (U, LENGTH + 1) clicks, the last of them to be found."""
    rng = np.random.default_rng(0)
    n_tastes = args.items // TASTE
    centres = rng.normal(size=(n_tastes, FEATURES))
    taste_N = np.arange(args.items) % n_tastes
    drift_ND = np.cumsum(rng.normal(size=(TASTE, FEATURES)), axis=0)[
        np.arange(args.items) // n_tastes % TASTE
    ]
    features = centres[taste_N] + 0.15 * drift_ND + 0.3 * rng.normal(size=(args.items, FEATURES))
    own_UT = rng.integers(0, n_tastes, (args.users, 3))
    place_UT = rng.integers(0, TASTE, (args.users, 3))
    clicks = np.empty((args.users, LENGTH + 1), np.int64)
    rows, current = np.arange(args.users), np.zeros(args.users, np.int64)
    for step in range(LENGTH + 1):
        # Most clicks stay with the taste of the click before and go on close by.
        current = np.where(rng.random(args.users) < 0.7, current, rng.integers(0, 3, args.users))
        place_UT[rows, current] = (place_UT[rows, current] + rng.integers(1, 5, args.users)) % TASTE
        clicks[:, step] = place_UT[rows, current] * n_tastes + own_UT[rows, current]
    return features.astype(np.float32), clicks


def item_knn(train: Sequences, n_items: int) -> csr_matrix:
    """Cosines of the items' users, the nearest of each item."""
    from implicit.nearest_neighbours import ItemItemRecommender, normalize

    ones = np.ones(len(train.items), np.float32)
    clicks_UN = csr_matrix((ones, train.items, train.offsets), shape=(len(train), n_items))
    model = ItemItemRecommender(NEIGHBOURS, num_threads=1)
    model.fit(normalize(clicks_UN.T).T.tocsr(), show_progress=False)
    return csr_matrix(model.similarity)


def timed(run: Callable[[], Result], repeats: int) -> tuple[Result, float]:
    """What it gives, and the least seconds that it took."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        found = run()
        seconds.append(time.process_time() - start)
    return found, min(seconds)


def kept(lists: TopK, full: TopK, targets: Sequences) -> tuple[float, str]:
    """ndcg@10, and its share of the full model's with a 95 % interval over users."""
    ones = np.ones(len(targets), int)
    values = {
        name: ndcg(targets.contains(one.ids), ones, K) for name, one in (("own", lists), ("full", full))
    }
    found = resample_means(values, 1000, 0)
    share = found["own"].value / max(found["full"].value, 1e-12)
    low, high = interval(found["own"].resampled_R / np.maximum(found["full"].resampled_R, 1e-12))
    return found["own"].value, f"{share:.1%} [{low:.1%}, {high:.1%}]"


def compare(
    table: Table,
    title: str,
    full: Recommender,
    retrievers: Mapping[str, Recommender],
    asked: tuple[Sequences, Sequences],
    args: argparse.Namespace,
) -> None:
    """Rows for the full model and each cascade over it."""
    histories, targets = asked
    full.recommend(histories.take(np.arange(8)), K, None)
    lists, seconds = timed(lambda: full.recommend(histories, K, histories), args.repeats)
    each = 1e6 * seconds / len(histories)
    value, _ = kept(lists, lists, targets)
    table.add_row(f"{title}, full", "all", f"{value:.4f}", "", f"{each:,.0f}", "", "")
    for name, retriever in retrievers.items():
        for candidates in args.candidates:
            cascade = Cascade(retriever, full, candidates=candidates)
            cascade.recommend(histories.take(np.arange(8)), K, None)
            cascade.times = StageTimes(clock=time.process_time)
            found, spent = timed(partial(cascade.recommend, histories, K, histories), args.repeats)
            value, share = kept(found, lists, targets)
            own = 1e6 * spent / len(histories)
            stages = " + ".join(f"{stage} {t:,.0f}" for stage, t in cascade.times.per_user().items())
            cells = (f"{value:.4f}", share, f"{own:,.0f}", f"{own / each:.1%}", stages)
            table.add_row(f"{title}, {name}", f"{candidates:,}", *cells)


def main() -> None:
    """Trains, measures, and prints where the time goes and what the cascades keep."""
    args = arguments()
    torch.set_num_threads(args.threads)
    features, clicks = synthetic(args)
    llm_weights = args.llm_weights if args.model == "llm" else None
    network = full_model(features, args.width, LENGTH, args.layers, llm_weights)
    # Of every user all but the last click is learned from.
    train(network, clicks[:, :LENGTH], args.steps)
    model = NeuralRecommender(network, name=args.model)
    scorer = PairScorer(model, args.width)
    train_pairs(scorer, clicks[:, :LENGTH], args.steps)
    train_part = Sequences.from_lists(clicks[:, :LENGTH])
    asked = (
        Sequences.from_lists(clicks[: args.asked, :LENGTH]),
        Sequences.from_lists(clicks[: args.asked, LENGTH:]),
    )
    knn = NeighbourRetriever(args.items, lambda clicks: item_knn(clicks, args.items)).fit(train_part)
    retrievers = {"item-kNN": knn, "own vectors": nearest_items(model, "own vectors", NEIGHBOURS)}
    console = Console(width=None if sys.stdout.isatty() else 150)
    queries, reading = timed(lambda: model.queries(asked[0]), args.repeats)
    ranked = timed(lambda: rank_by_vectors(queries, model.item_vectors(), K, asked[0]), args.repeats)[1]
    micro = 1e6 / args.asked
    console.print(
        f"{args.model} of width {args.width}, synthetic catalogue of {args.items:,} items, "
        f"{args.asked:,} users, {args.threads} thread(s). Of the dot product's time a user, the history "
        f"takes {reading * micro:,.0f} us and the product with all items {ranked * micro:,.0f} us: "
        f"a cascade can save no more than {ranked / (reading + ranked):.0%} of it."
    )
    table = Table(title="Full models and cascades over them (synthetic data)")
    for column in (
        "",
        "candidates",
        "ndcg@10",
        "of the full model's",
        "us/user",
        "of its time",
        "us/user by stage",
    ):
        table.add_column(column, justify="left" if not column else "right")
    compare(table, "dot product", model, retrievers, asked, args)
    compare(table, "pairs", scorer, retrievers, asked, args)
    console.print(table)


if __name__ == "__main__":
    main()
