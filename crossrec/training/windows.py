"""Training windows over CSR sequences, and batches that are the same whatever the number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.types import Sequences

POOL = 32
"""Batches whose windows are sorted by length together: enough for little padding, few enough to mix."""


@dataclass(frozen=True)
class Windows:
    """Slices of histories: inputs ``items[start:end]``; targets are the clicks after each input.

    Args:
        starts, ends: (W,) positions in the sequences' flat item array.
        first_targets: (W,) inputs from here to ``end`` have a target; earlier ones are only context.
    """

    starts: np.ndarray
    ends: np.ndarray
    first_targets: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray) -> Windows:
        """Some of the windows."""
        return Windows(self.starts[rows], self.ends[rows], self.first_targets[rows])

    @property
    def n_targets(self) -> int:
        """Clicks to be predicted."""
        return int((self.ends - self.first_targets).sum())


@dataclass(frozen=True)
class Batch:
    """One process's part of a step.

    Args:
        items_BL: (B, L) int64, right-padded with 0.
        positions_T: (T,) flat indices into B * L that have a target.
        targets_T: (T,) int64.
    """

    items_BL: Tensor
    positions_T: Tensor
    targets_T: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(self.items_BL.to(device), self.positions_T.to(device), self.targets_T.to(device))


class WindowBatches:
    """Deals out windows of training sequences, a new order and new cuts each epoch.

    Every click but a user's first is a target exactly once an epoch. Long histories are cut into
    windows of ``max_length`` inputs that overlap, cut at another place each epoch. Everything
    depends on (seed, epoch) alone, so a resumed run continues with the very same batches.

    Args:
        sequences: training clicks, one row a user.
        max_length: inputs in a window.
        batch_size: windows in a step, over all processes.
        overlap: share of a window that only gives context to the rest of it.
        seed: of the order.
    """

    def __init__(
        self, sequences: Sequences, *, max_length: int, batch_size: int, overlap: float, seed: int
    ) -> None:
        self.sequences = sequences
        self.max_length = max_length
        self.batch_size = batch_size
        self.stride = max(1, round(max_length * (1 - overlap)))
        self.seed = seed
        self.n_targets = int(np.maximum(sequences.lengths - 1, 0).sum())
        if self.n_targets == 0:
            raise ValueError("no user has two training clicks: there is nothing to predict")
        self.mean_targets = self.n_targets / len(self.epoch(0))
        """Targets in an average step; steps divide by it, so that every click weighs the same."""

    def epoch(self, epoch: int) -> list[Windows]:
        """The steps of one epoch: global batches, of windows of about the same length."""
        generator = np.random.default_rng((self.seed, epoch))
        windows = self._cut(generator)
        windows = windows.take(generator.permutation(len(windows)))
        batches = []
        for start in range(0, len(windows), POOL * self.batch_size):
            pool = windows.take(np.arange(start, min(start + POOL * self.batch_size, len(windows))))
            pool = pool.take(np.argsort(pool.ends - pool.starts, kind="stable"))
            batches += [
                pool.take(np.arange(i, min(i + self.batch_size, len(pool))))
                for i in range(0, len(pool), self.batch_size)
            ]
        return [batches[i] for i in generator.permutation(len(batches))]

    def _cut(self, generator: np.random.Generator) -> Windows:
        begins = np.asarray(self.sequences.offsets[:-1])
        inputs = np.maximum(self.sequences.lengths - 1, 0)
        phase = generator.integers(0, self.stride, len(inputs))
        first_end = np.minimum(inputs, self.max_length - np.where(inputs > self.max_length, phase, 0))
        count = (inputs > 0) + -(-(inputs - first_end) // self.stride)
        user = np.repeat(np.arange(len(inputs)), count)
        nth = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
        ends = np.minimum(first_end[user] + nth * self.stride, inputs[user])
        first_targets = np.where(nth > 0, first_end[user] + (nth - 1) * self.stride, 0)
        starts = np.maximum(ends - self.max_length, 0)
        return Windows(begins[user] + starts, begins[user] + ends, begins[user] + first_targets)

    def collate(self, windows: Windows) -> Batch:
        """Padded tensors of some windows (none gives a batch of one click without targets)."""
        lengths = windows.ends - windows.starts
        length = int(lengths.max(initial=1))
        steps = np.arange(length)
        at_BL = windows.starts[:, None] + steps
        real_BL = steps < lengths[:, None]
        items_BL = np.zeros((max(len(windows), 1), length), np.int64)
        items_BL[: len(windows)][real_BL] = self.sequences.items[at_BL[real_BL]]
        wanted_BL = real_BL & (at_BL >= windows.first_targets[:, None])
        targets_T = self.sequences.items[at_BL[wanted_BL] + 1].astype(np.int64)
        positions_T = np.flatnonzero(wanted_BL)
        return Batch(torch.from_numpy(items_BL), torch.from_numpy(positions_T), torch.from_numpy(targets_T))

    def parts(self, step: Windows, *, rank: int, world: int, accumulation: int) -> Iterator[Batch]:
        """This process's share of a global batch, in ``accumulation`` parts."""
        for part in range(accumulation):
            yield self.collate(
                step.take(np.arange(rank * accumulation + part, len(step), world * accumulation))
            )
