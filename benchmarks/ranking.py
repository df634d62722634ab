"""Full ranking on synthetic vectors: users per second, growth with the catalogue, memory, share of matmul.

    python benchmarks/ranking.py [--items 1000000 --users 10000 --k 100 --width 64] [--threads N]

Vectors are random and each user has nine random seen items: speed and memory don't depend on what they
mean. Every size runs in a process of its own, so that its peak memory (with PyTorch's own) is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

SEEN = 9
SMALLER = (10_000, 100_000)
BUDGET_GB = 4.0


def measure(items: int, users: int, k: int, width: int) -> dict[str, Any]:
    """Ranks once, after a short warm-up; the plain matrix product runs before and after."""
    import torch

    from crossrec.runtime.ranking import Tiles, rank_by_vectors
    from crossrec.types import Sequences

    generator = torch.Generator().manual_seed(0)
    vectors_ND = torch.randn(items, width, generator=generator)
    queries_BD = torch.randn(users, width, generator=generator)
    seen = np.random.default_rng(0).integers(0, items, users * SEEN)
    exclude = Sequences(np.arange(users + 1, dtype=np.int64) * SEEN, seen)
    tiles = Tiles.suited_to(queries_BD.device)
    n_warm = min(users, tiles.users)
    rank_by_vectors(queries_BD[:n_warm], vectors_ND, k, exclude.take(np.arange(n_warm)))
    rates = [matmul_rate(queries_BD, vectors_ND, tiles.users, tiles.items(items))]
    start, cpu_start = time.perf_counter(), time.process_time()
    rank_by_vectors(queries_BD, vectors_ND, k, exclude)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    rates.append(matmul_rate(queries_BD, vectors_ND, tiles.users, tiles.items(items)))
    return {
        "items": items,
        "seconds": seconds,
        "cpus": cpu_seconds / seconds,
        "gflops": 2e-9 * items * users * width / seconds,
        "matmul_gflops": float(np.mean(rates)),
        # ru_maxrss counts KiB on Linux and bytes on macOS.
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024)
        / 1e9,
    }


def matmul_rate(queries_BD: Any, vectors_ND: Any, rows: int, columns: int) -> float:
    """GFLOP/s of torch.mm alone, on one tile after another, into a kept tile."""
    import torch

    queries_BD = queries_BD[:rows]
    tile = queries_BD.new_empty(len(queries_BD), columns)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < 1.0:
        first = done % max(len(vectors_ND) - columns + 1, 1)
        part = vectors_ND[first : first + columns]
        torch.mm(queries_BD, part.T, out=tile[:, : len(part)])
        done += len(part)
    return 2e-9 * done * queries_BD.numel() / (time.perf_counter() - start)


def in_fresh_process(arguments: argparse.Namespace, items: int) -> dict[str, Any]:
    """Measures one size in a process that has done nothing else."""
    options = {"users": arguments.users, "k": arguments.k, "width": arguments.width}
    command = [sys.executable, __file__, "--measure", "--items", str(items)]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    if arguments.threads:
        command += ["--threads", str(arguments.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """Prints the table; growth is that of the time per user over that of the catalogue."""
    table = Table(
        title=f"top {arguments.k} of N for {arguments.users:,} users, {arguments.width} wide, synthetic"
    )
    for name in (
        "N",
        "users/s",
        "µs/user",
        "time / N grew",
        "GFLOP/s",
        "matmul alone",
        "share",
        "CPUs got",
        "peak RSS",
    ):
        table.add_column(name, justify="right")
    for last, row in zip([None, *rows[:-1]], rows, strict=True):
        growth = (
            ""
            if last is None
            else f"{row['seconds'] / last['seconds']:.1f} / {row['items'] / last['items']:.1f}"
        )
        table.add_row(
            f"{row['items']:,}",
            f"{arguments.users / row['seconds']:,.0f}",
            f"{row['seconds'] / arguments.users * 1e6:,.1f}",
            growth,
            f"{row['gflops']:.0f}",
            f"{row['matmul_gflops']:.0f}",
            f"{row['gflops'] / row['matmul_gflops']:.0%}",
            f"{row['cpus']:.2f}",
            f"{row['peak_gb']:.2f} GB",
        )
    console = Console(width=110)
    console.print(table)
    worst = max(row["peak_gb"] for row in rows)
    verdict = "inside" if worst <= BUDGET_GB else "OUTSIDE"
    console.print(f"Peak memory {worst:.2f} GB: {verdict} the budget of {BUDGET_GB:.0f} GB.")


def main() -> None:
    """Parses, measures each size in its own process, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0, help="0: what PyTorch takes")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        import torch

        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        found = measure(arguments.items, arguments.users, arguments.k, arguments.width)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    sizes = [n for n in SMALLER if n < arguments.items] + [arguments.items]
    show([in_fresh_process(arguments, items) for items in sizes], arguments)


if __name__ == "__main__":
    main()
