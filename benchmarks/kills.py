"""Kills trainings at random moments, restarts them, and compares what they end with.

    python benchmarks/kills.py [--kills 40] [--seed 0] [--out FOLDER]

A small cross-modal run on the generated storefront is trained once without interruption. Then the same run is
trained in fresh folders, caches included, and killed (SIGKILL) at moments drawn uniformly over the time the
first one took, until it finishes; this is repeated until enough kills have happened. Every loss, every metric
and every list must equal those of the uninterrupted run. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).parents[1]
OVERRIDES = (
    "name=run",
    "data.source.n_products=200",
    "data.source.n_shoppers=300",
    "data.source.image_size=48",
    "model.image.image_size=64",
    "spaces.image.image_size=64",
    "model.sequence={type: sasrec, layers: 1, max_length: 20}",
    "trainer.epochs=4",
    "trainer.eval_every=1",
    "trainer.checkpoint_every=5",
    "evaluation.n_bootstrap=50",
)


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)  # noqa: T201


def train(folder: Path, kill_after: float | None) -> bool:
    """Train in ``folder`` and return whether the run finished before it was killed.

    Args:
        folder: of runs and caches.
        kill_after: seconds until the kill; None lets it finish.

    Raises:
        SystemExit: the training failed by itself.
    """
    command = [sys.executable, str(ROOT / "train.py"), str(ROOT / "configs" / "demo.yaml"), *OVERRIDES]
    command += [f"runs_dir={folder / 'runs'}", f"data.cache_dir={folder / 'cache'}"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("a") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    if code:
        sys.exit(f"a training failed by itself (exit code {code}); see {folder / 'output.txt'}")
    return True


def results(folder: Path) -> dict[str, Any]:
    """Losses by step, metrics, and lists of a finished run."""
    run = folder / "runs" / "run"
    losses: dict[int, float] = {}
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] == "step":
            losses[row["step"]] = row["loss"]
    found: dict[str, Any] = {"losses": losses}
    for path in sorted((run / "eval").rglob("metrics.json")):
        found[str(path.relative_to(run))] = path.read_text(encoding="utf-8")
    for path in sorted((run / "eval").rglob("*.parquet")):
        found[str(path.relative_to(run))] = str(pl.read_parquet(path).to_dict(as_series=False))
    return found


def main() -> None:
    """Run the comparison and print one line per round."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=40, help="kills in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--out", type=Path, default=Path("runs") / "kills", help="folder, removed first")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    started = time.monotonic()
    train(args.out / "reference", None)
    seconds = time.monotonic() - started
    expected = results(args.out / "reference")
    say(
        f"uninterrupted: {seconds:.0f} s, {len(expected['losses'])} steps, {len(expected) - 1} files compared"
    )
    generator = random.Random(args.seed)
    kills = rounds = wrong = 0
    while kills < args.kills:
        rounds += 1
        folder = args.out / f"round-{rounds}"
        here = 0
        while kills < args.kills and not train(folder, generator.uniform(0, seconds)):
            kills, here = kills + 1, here + 1
        train(folder, None)  # finishes, or finds everything finished
        found = results(folder)
        different = [name for name in expected if found.get(name) != expected[name]]
        wrong += bool(different)
        say(f"round {rounds}: {here} kills, {f'DIFFERENT: {different}' if different else 'equal'}")
        shutil.rmtree(folder, ignore_errors=not different)
    say(f"{kills} kills in {rounds} rounds: {wrong} rounds with a wrong figure")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
