"""The reranker ``quota`` on the candidates of many users: seconds, coverage, and lost relevance.

    python benchmarks/quota.py [--users 20000 --items 100000 --candidates 100 --k 10] [--diversity 0.25 1]

Candidates are drawn by popularity (Zipf), scores from a gamma distribution. Each form starts with an empty
account: one request at a time, batches, and all requests together. On a busy machine, compare
seconds of CPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.exposure import ExposureStore
from crossrec.rerank.quota import Quota
from crossrec.types import Sequences


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1024, help="requests per batch, beside 1 and all")
    parser.add_argument("--diversity", type=float, nargs="+", default=[0.25, 1.0])
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def candidates(args: argparse.Namespace) -> Pool:
    """Distinct items of each user, the more popular the likelier, with falling scores."""
    rng = np.random.default_rng(0)
    chances = np.cumsum(1 / (np.arange(args.items) + 10))
    chances /= chances[-1]
    ids = np.empty((args.users, args.candidates), np.int64)
    for row in ids:
        found = np.zeros(0, np.int64)
        while len(found) < args.candidates:
            more = np.searchsorted(chances, rng.random(2 * args.candidates))
            found = np.unique(np.concatenate([found, more]))
        row[:] = rng.permutation(found)[: args.candidates]
    scores = -np.sort(-rng.gamma(1, 1, ids.shape), 1).astype(np.float32)
    histories = Sequences.from_lists([[]] * args.users)
    return Pool(torch.from_numpy(ids), torch.from_numpy(scores), histories)


def main() -> None:
    """Measures every form and prints a table."""
    args = arguments()
    torch.set_num_threads(args.threads)
    pool = candidates(args)
    relevance_BC, before = pool.relevance("minmax").numpy(), pool.ids_BC[:, : args.k].numpy()
    title = f"{args.users:,} users, {args.items:,} items, {args.candidates} candidates to {args.k}, "
    table = Table(title=title + f"{args.threads} thread(s)")
    for column in (
        "requests together",
        "diversity",
        "seconds",
        "of CPU",
        "coverage",
        "lost relevance",
        "changed lists",
    ):
        table.add_column(column, justify="right")
    table.add_row("", "0", "", "", f"{len(np.unique(before)) / args.items:.3f}", "", "")
    forms = [("1", 1), ("1, account in a file", 1), (f"{args.batch:,}", args.batch), ("all", args.users)]
    for name, batch in forms:
        for diversity in args.diversity:
            stage = Quota.Options(diversity=diversity, batch=batch).build(ItemTable.of_size(args.items))
            with tempfile.TemporaryDirectory() as folder:
                if "file" in name:
                    ids = [str(number) for number in range(args.items)]
                    stage.share_account(ExposureStore(Path(folder) / "exposure.sqlite"), ids)
                began, began_cpu = time.perf_counter(), time.process_time()
                lists = stage.rerank(pool, args.k).ids_BC.numpy()
                seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
            kept_BC = (pool.ids_BC.numpy()[:, :, None] == lists[:, None]).any(2)
            lost = 1 - relevance_BC[kept_BC].sum() / relevance_BC[:, : args.k].sum()
            changed = (lists != before).any(1).mean()
            coverage = len(np.unique(lists)) / args.items
            cells = (
                f"{diversity:g}",
                f"{seconds:.1f}",
                f"{cpu:.1f}",
                f"{coverage:.3f}",
                f"{lost:.2%}",
                f"{changed:.1%}",
            )
            table.add_row(name, *cells)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
