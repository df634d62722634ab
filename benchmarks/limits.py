"""What this machine can do, and what share of it a training step and the full ranking reach.

    python benchmarks/limits.py [--root PATH/TO/amazon-beauty] [--threads N] [--steps 12]

Operations and bytes are counted from shapes. A step's least time is its operations at the rate of a matrix
product of the loss's own shape, plus the optimiser's bytes at the rate of a copy. Without --root the
histories are synthetic, of Beauty's size: 22,363 users, 12,101 items, 7 training clicks a user on average.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.sampled_softmax import SampledSoftmax
from crossrec.model.fusion.base import SingleModality
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.sasrec import SASRec
from crossrec.runtime.device import keep_freed_memory
from crossrec.runtime.ranking import rank_by_vectors
from crossrec.training.config import TrainerConfig
from crossrec.training.task import ItemPredictionTask
from crossrec.training.trainer import build_optimizer
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

USERS, ITEMS, WIDTH, LAYERS, LENGTH, BATCH, NEGATIVES = 22_363, 12_101, 64, 2, 50, 128, 512
console = Console(width=110)


def seconds(action: Callable[[], object], least: float = 0.7) -> float:
    """The median time of an action, repeated for at least so many seconds after a first run."""
    action()
    times: list[float] = []
    while sum(times) < least or len(times) < 3:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def fresh(*shape: int, dtype: torch.dtype) -> Tensor:
    """Memory that the system has just handed out: NumPy's large arrays are mapped and unmapped."""
    values: Tensor = torch.from_numpy(np.empty(shape, np.int16 if dtype == torch.bfloat16 else np.float32))
    return values.view(dtype)


@dataclass(frozen=True)
class Machine:
    """Measured limits: multiply-adds count as two operations."""

    loss_flops: float
    ranking_flops: float
    copy_bytes: float


def measure_machine() -> Machine:
    """Prints the rates of matrix products and copies, and returns those that limit us."""
    table = Table(
        "product", "fp32 GFLOP/s", "bf16 GFLOP/s", title=f"machine, {torch.get_num_threads()} threads"
    )
    found: dict[str, list[float]] = {}
    for rows, inner, columns, kept in (
        (2048, 2048, 2048, True),
        (6400, WIDTH, ITEMS, True),
        (6400, WIDTH, ITEMS, False),
        (256, WIDTH, ITEMS, True),
    ):
        name = f"{rows} x {inner} x {columns}, {'kept' if kept else 'fresh'}"
        found[name] = [product_rate(rows, inner, columns, kept, d) for d in (torch.float32, torch.bfloat16)]
        table.add_row(name, *(f"{rate / 1e9:.0f}" for rate in found[name]))
    console.print(table)
    source = torch.ones(1 << 26)
    target = torch.empty_like(source).copy_(source)
    # A copy reads and writes.
    moved = 2 * source.nbytes
    kept_rate = moved / seconds(lambda: target.copy_(source))
    fresh_rate = moved / seconds(lambda: fresh(1 << 26, dtype=torch.float32).copy_(source))
    console.print(
        f"copy, read and written: {kept_rate / 1e9:.1f} GB/s kept, {fresh_rate / 1e9:.1f} GB/s fresh\n"
    )
    rates = [values[0] for values in found.values()]
    return Machine(loss_flops=max(rates[1], rates[3]), ranking_flops=rates[3], copy_bytes=kept_rate)


def product_rate(rows: int, inner: int, columns: int, kept: bool, dtype: torch.dtype) -> float:
    """Operations per second of one matrix product; 0 for a bf16 one that is plainly emulated."""
    left, right = torch.randn(rows, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    if dtype == torch.bfloat16:
        sample = torch.randn(256, 256)
        slow = seconds(lambda: torch.mm(sample.bfloat16(), sample.bfloat16()), 0.05)
        if slow > 8 * seconds(lambda: torch.mm(sample, sample), 0.05):
            return 0.0
    memory = torch.zeros(rows, columns, dtype=dtype)

    def multiply() -> None:
        torch.mm(left, right.T, out=memory if kept else fresh(rows, columns, dtype=dtype))

    return 2 * rows * inner * columns / seconds(multiply)


def histories(root: Path | None) -> Sequences:
    """All clicks, one row a user: Beauty's, or synthetic ones of about its lengths and popularity."""
    rng = np.random.default_rng(0)
    if root is None:
        lengths = 4 + rng.geometric(1 / 4.9, USERS)
        items = (ITEMS * rng.random(lengths.sum()) ** 2).astype(np.int64)
        return Sequences(np.concatenate([[0], np.cumsum(lengths)]), items)
    with (root / "interactions.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["user_id"], int(row["timestamp"]), row["item_id"]) for row in csv.DictReader(file)]
    rows.sort(key=lambda row: row[:2])
    users, counts = np.unique([user for user, _, _ in rows], return_counts=True)
    _, items = np.unique([item for _, _, item in rows], return_inverse=True)
    console.print(f"{root.name}: {len(users):,} users, {items.max() + 1:,} items, {len(rows):,} clicks")
    return Sequences(np.concatenate([[0], np.cumsum(counts)]), items.astype(np.int64))


def build_network(n_items: int) -> SequentialNetwork:
    """SASRec on item ids."""
    torch.manual_seed(0)
    fusion = SingleModality(1, WIDTH)
    items = ItemEncoder(
        {"id": ItemIdEmbedding(np.ones(n_items, bool), WIDTH)},
        fusion,
        WIDTH,
        dropout=0.2,
        modality_dropout=0.0,
    )
    sequence = SASRec.Options(max_length=LENGTH, layers=LAYERS).build(WIDTH, Path())
    return SequentialNetwork(items, sequence, n_items, similarity="dot", temperature=1.0)


def transformer_flops(positions: int, length: float) -> float:
    """Forward: 4 width² of attention's maps, 2 of the feed-forward, and the causal half of attention."""
    return 2 * positions * LAYERS * (6 * WIDTH**2 + length * WIDTH)


def measure_training(train: Sequences, n_items: int, machine: Machine, steps: int, sampled: bool) -> None:
    """Times whole optimiser steps and prints them beside the least time that the machine allows."""
    network = build_network(n_items)
    counts = np.bincount(train.items, minlength=n_items)
    config = SampledSoftmax.Options(negatives=NEGATIVES) if sampled else FullSoftmax.Options()
    task = ItemPredictionTask(network, config.build(counts), torch.arange(n_items)).train()
    batches = WindowBatches(train, max_length=LENGTH, batch_size=BATCH, overlap=0.25, seed=0)
    optimiser = build_optimizer(task, TrainerConfig())
    epoch = batches.epoch(0)

    def step(number: int) -> None:
        windows = epoch[number % len(epoch)]
        negatives = task.sample_negatives(number, batches.targets(windows))
        for part in batches.parts(windows, rank=0, world=1, accumulation=1):
            (sum(task(part, negatives).values()) / batches.mean_targets).backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    for number in range(3):
        step(number)
    start = time.perf_counter()
    for number in range(steps):
        step(number)
    taken = (time.perf_counter() - start) / steps
    done = [epoch[number % len(epoch)] for number in range(steps)]
    targets = np.mean([windows.n_targets for windows in done])
    longest = [int((w.ends - w.starts).max()) for w in done]
    positions = np.mean([len(w) * length for w, length in zip(done, longest, strict=True)])
    # The logits, and a product for each of the two gradients.
    loss = 2 * targets * WIDTH * 3 * (NEGATIVES if sampled else n_items)
    flops = loss + 3 * transformer_flops(int(positions), float(np.mean(longest)))
    # AdamW reads weight, gradient and two moments, writes three; gradients are written and their norm read.
    moved = 4 * 9 * sum(p.numel() for p in task.parameters())
    name = f"sampled softmax, {NEGATIVES} negatives" if sampled else "full softmax in chunks"
    print_share(f"training step: {name}", taken, float(flops), machine.loss_flops, moved, machine.copy_bytes)
    console.print(
        f"{targets:.0f} targets, {positions:.0f} positions with padding, {targets / taken:,.0f} targets/s, "
        f"epoch of {len(epoch)} steps about {taken * len(epoch):.1f} s; loss {loss / flops:.0%} of operations"
    )
    print_profile(lambda: deque(map(step, range(4)), maxlen=0))


def measure_ranking(clicks: Sequences, n_items: int, machine: Machine) -> None:
    """Times queries and top-10 lists of all users, seen items left out."""
    recommender = NeuralRecommender(build_network(n_items))
    vectors_ND = recommender.item_vectors()
    reading = seconds(lambda: recommender.queries(clicks), 1.5)
    queries_BD = recommender.queries(clicks)
    ranking = seconds(lambda: rank_by_vectors(queries_BD, vectors_ND, 10, clicks), 1.5)
    lengths = np.minimum(clicks.lengths, LENGTH)
    reading_flops = transformer_flops(int(lengths.sum()), float(lengths.mean()))
    ranking_flops = 2 * len(clicks) * n_items * WIDTH
    print_share(
        "ranking: reading histories", reading, reading_flops, machine.loss_flops, 0, machine.copy_bytes
    )
    print_share(
        "ranking: top 10 by vectors", ranking, ranking_flops, machine.ranking_flops, 0, machine.copy_bytes
    )
    console.print(f"{len(clicks) / (reading + ranking):,.0f} users/s in all")
    some = np.arange(min(4096, len(clicks)))
    print_profile(lambda: recommender.recommend(clicks.take(some), 10, clicks.take(some)))


def print_share(
    title: str, taken: float, flops: float, flops_rate: float, moved: float, copy_rate: float
) -> None:
    """One row: time, operations, bytes, the least time for them, and the share that is reached."""
    least = flops / flops_rate + moved / copy_rate
    table = Table("ms", "GFLOP", "GFLOP/s", "MB moved", "least ms", "share of the limit", title=title)
    table.add_row(
        f"{taken * 1e3:.1f}",
        f"{flops / 1e9:.2f}",
        f"{flops / taken / 1e9:.0f}",
        f"{moved / 1e6:.0f}",
        f"{least * 1e3:.1f}",
        f"{least / taken:.0%}",
    )
    console.print(table)


def print_profile(action: Callable[[], object]) -> None:
    """Where the time goes, by PyTorch operation, without that of operations called inside."""
    action()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        action()
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    table = Table("operation", "share", "ms", "calls", title="where the time goes")
    for event in events[:9]:
        share = event.self_cpu_time_total / whole
        table.add_row(event.key, f"{share:.0%}", f"{event.self_cpu_time_total / 1e3:.1f}", str(event.count))
    console.print(table, "")


def main() -> None:
    """Parses and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder of amazon-beauty; synthetic histories without it")
    parser.add_argument("--threads", type=int, default=0, help="0: what PyTorch takes")
    parser.add_argument("--steps", type=int, default=12, help="training steps timed for each loss")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    # Before malloc is told to keep memory, and on NumPy's pages, so that fresh ones really are.
    machine = measure_machine()
    keep_freed_memory()
    clicks = histories(arguments.root)
    if arguments.root is None:
        console.print("histories: SYNTHETIC, of Beauty's size")
    n_items = (
        max(int(clicks.items.max()) + 1, ITEMS) if arguments.root is None else int(clicks.items.max()) + 1
    )
    train = clicks.take(np.arange(len(clicks)), clicks.lengths - 2)
    for sampled in (False, True):
        measure_training(train, n_items, machine, arguments.steps, sampled)
    measure_ranking(clicks.take(np.arange(len(clicks)), clicks.lengths - 1), n_items, machine)


if __name__ == "__main__":
    main()
