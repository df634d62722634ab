"""Rerankers on 100 candidates of 10,000 users, beside pyversity called for one user after the other.

    python benchmarks/rerank.py [--users 10000 --candidates 100 --k 10 --width 384] [--diversity 0.3 ...]

Both rerank the same candidates by the same scores and item vectors; candidates are the best of a synthetic
recommender, vectors fall into topics, as texts do. pyversity runs in an environment of its own (pinned
below), in a process that stays, and takes turns with ours share by share, so that
whatever else the machine does falls on both. Its time holds looking up the vectors, as ours does, and no
passing of messages.

Definitions agree for MMR (relevance scaled to [0, 1], cosines below 0 count as 0), and for DPP when each
user's ``scale`` makes its weight of a z-score equal to ours of relevance: std(relevance) / (2 * diversity).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peer_drivers.environments import DRIVERS, PEERS, Peer, python_of
from rich.console import Console
from rich.table import Table

PYVERSITY = Peer("pyversity 0.2.0", "drive_pyversity.py", ("pyversity==0.2.0", "numpy==2.4.6"))
ALGORITHMS = ("mmr", "dpp")
TOPICS, SHARES = 300, 10


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--diversity", type=float, nargs="+", default=[0.3, 0.7])
    parser.add_argument("--threads", type=int, default=1, help="of ours; pyversity always has one")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/peers"))
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter of pyversity's environment"
    )
    return parser.parse_args()


def make_data(args: argparse.Namespace, folder: Path) -> dict[str, np.ndarray]:
    """Unit vectors in topics, and each user's best candidates by another model; saved as .npy."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(TOPICS, args.width))
    vectors = topics[rng.integers(0, TOPICS, args.items)] + rng.normal(size=(args.items, args.width)) + 0.5
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    taste, items = rng.normal(size=(args.users, 32)), rng.normal(size=(32, args.items))
    ids = np.empty((args.users, args.candidates), np.int64)
    scores = np.empty((args.users, args.candidates), np.float32)
    for start in range(0, args.users, 1000):
        block = slice(start, start + 1000)
        all_scores = (taste[block] @ items).astype(np.float32)
        best = np.argpartition(-all_scores, args.candidates, axis=1)[:, : args.candidates]
        order = np.argsort(-np.take_along_axis(all_scores, best, 1), axis=1)
        ids[block] = np.take_along_axis(best, order, 1)
        scores[block] = np.take_along_axis(all_scores, ids[block], 1)
    low, high = scores.min(1, keepdims=True), scores.max(1, keepdims=True)
    data = {"vectors": vectors, "ids": ids, "scores": scores, "relevance": (scores - low) / (high - low)}
    for name, values in data.items():
        np.save(folder / f"{name}.npy", values)
    return data


class Pyversity:
    """A process that reranks rows of the data when asked to."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        # Not for good: it is no framework that benchmarks/peers.py could train.
        PEERS["pyversity"] = PYVERSITY
        python = python_of("pyversity", args.work_dir.resolve(), args.peer_python)
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [str(python), str(DRIVERS / PYVERSITY.driver), str(folder), str(args.k)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=one_thread,
        )

    def rerank(self, algorithm: str, diversity: float, rows: range) -> tuple[np.ndarray, np.ndarray]:
        """Seconds on the clock and of processors, and (rows, k) columns of the candidates."""
        asked = {"algorithm": algorithm, "diversity": diversity, "start": rows.start, "stop": rows.stop}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return np.array(answer["seconds"]), np.array(answer["columns"])

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


class Ours:
    """Our rerankers over the same data, the way that a reranked recommender runs them."""

    def __init__(self, args: argparse.Namespace, data: dict[str, np.ndarray]) -> None:
        import torch

        from crossrec.data.item_table import ItemTable

        torch.set_num_threads(args.threads)
        self._data, self._k = data, args.k
        vectors = {"text": torch.from_numpy(data["vectors"])}
        self._traits = ItemTable(np.ones(args.items), torch.zeros(args.items, 0), vectors)

    def rerank(self, algorithm: str, diversity: float, rows: range) -> tuple[np.ndarray, np.ndarray]:
        """Seconds on the clock and of processors, and (rows, k) catalogue indices."""
        from crossrec.rerank.base import rerank_lists
        from crossrec.rerank.dpp import GreedyDPP
        from crossrec.rerank.mmr import MMR
        from crossrec.types import Sequences, TopK

        config = {"mmr": MMR.Options, "dpp": GreedyDPP.Options}[algorithm](diversity=diversity, space="text")
        reranker = config.build(self._traits)
        chosen = slice(rows.start, rows.stop)
        candidates = TopK(self._data["ids"][chosen], self._data["scores"][chosen])
        histories = Sequences(np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int64))
        start = np.array([time.perf_counter(), time.process_time()])
        lists = rerank_lists(candidates, histories, [reranker], self._k)
        return np.array([time.perf_counter(), time.process_time()]) - start, lists.ids


def compare(args: argparse.Namespace, ours: Ours, peer: Pyversity, data: dict[str, np.ndarray]) -> Table:
    """Takes turns, share by share; a row for each algorithm and diversity."""
    title = f"{args.users:,} users, {args.candidates} candidates to {args.k}, width {args.width}, "
    table = Table(title=title + f"{args.items:,} items, {args.threads} thread(s)")
    columns = ("", "diversity", "crossrec us/user", "pyversity us/user", "ratio", "CPU ratio", "same lists")
    for column in columns:
        table.add_column(column, justify="right")
    for algorithm in ALGORITHMS:
        for diversity in args.diversity:
            seconds, same = np.zeros((2, 2)), 0
            step = max(1, args.users // SHARES)
            ours.rerank(algorithm, diversity, range(min(step, 64)))
            for number, start in enumerate(range(0, args.users, step)):
                rows = range(start, min(start + step, args.users))
                turns: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
                for side in (ours, peer) if number % 2 else (peer, ours):
                    turns[side] = side.rerank(algorithm, diversity, rows)
                seconds += np.stack([turns[ours][0], turns[peer][0]])
                theirs = np.take_along_axis(data["ids"][rows.start : rows.stop], turns[peer][1], 1)
                same += int((theirs == turns[ours][1]).all(1).sum())
            each = 1e6 * seconds / args.users
            ratio, cpu_ratio = each[1] / each[0]
            cells = (f"{each[0, 0]:.1f}", f"{each[1, 0]:.1f}", f"{ratio:.1f}", f"{cpu_ratio:.1f}")
            table.add_row(algorithm, f"{diversity:g}", *cells, f"{same / args.users:.2%}")
    return table


def main() -> None:
    """Makes the data, compares, and prints the table."""
    args = arguments()
    with tempfile.TemporaryDirectory() as name:
        data = make_data(args, Path(name))
        peer = Pyversity(args, Path(name))
        try:
            table = compare(args, Ours(args, data), peer, data)
        finally:
            peer.close()
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
