"""Peak memory of the whole main job on a long log: preparation, training, ranking of every user.

    python benchmarks/long_log.py [--clicks 10000000] [--items 100000]

The log is synthetic (random users, items by a power law) and says nothing about quality.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
CLICKS_A_USER = 50


def write_log(folder: Path, clicks: int, items: int) -> None:
    """Two Parquet tables."""
    generator = np.random.default_rng(0)
    users = max(clicks // CLICKS_A_USER, 1)
    pl.DataFrame(
        {
            "user_id": generator.integers(0, users, clicks),
            "item_id": (generator.pareto(1.2, clicks) * 300).astype(np.int64) % items,
            "timestamp": generator.integers(1_500_000_000, 1_600_000_000, clicks),
        }
    ).write_parquet(folder / "interactions.parquet")
    pl.DataFrame({"item_id": np.arange(items)}).write_parquet(folder / "items.parquet")


def peak_gib(process: subprocess.Popen[bytes]) -> float:
    """The largest resident size of a process while it runs, in GiB (Linux)."""
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        for line in status.read_text().splitlines() if status.exists() else []:
            if line.startswith("VmHWM"):
                peak = max(peak, int(line.split()[1]))
        time.sleep(0.2)
    return peak / 2**20


def main() -> None:
    """Writes the log, runs train.py on it, prints its peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clicks", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_log(Path(folder), args.clicks, args.items)
        overrides = [
            f"data.root={folder}",
            f"runs_dir={folder}",
            "data.source.items=items.parquet",
            "data.source.interactions=interactions.parquet",
            "model.width=64",
            "model.smoothing=null",
            "objective.label_smoothing=0",
            "trainer.epochs=1",
            "trainer.batch_size=512",
            "baselines=[]",
            "evaluation.n_bootstrap=0",
        ]
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, ROOT / "train.py", ROOT / "configs" / "amazon_beauty.yaml", *overrides]
        )
        found: list[float] = []
        watch = threading.Thread(target=lambda: found.append(peak_gib(process)))
        watch.start()
        process.wait()
        watch.join()
        minutes = (time.perf_counter() - started) / 60
        print(  # noqa: T201
            f"synthetic log of {args.clicks:,} clicks, {args.items:,} items: peak {found[0]:.2f} GiB, "
            f"{minutes:.1f} minutes, exit status {process.returncode}"
        )
        sys.exit(process.returncode)


if __name__ == "__main__":
    main()
