"""Windows of training histories, their views, and batches that do not depend on the number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from crossrec.augment.base import Augmenter, SampleRng
from crossrec.losses.distillation import SoftTargets
from crossrec.training.epochs import EpochSequences, EpochSource, LogRows
from crossrec.training.teacher import TeacherLists
from crossrec.types import ABSENT, Sequences
from crossrec.vectors import pad_rows


@dataclass(frozen=True)
class ViewBatch:
    """Views of the histories of one process's part of a step.

    Args:
        items_VL: (2 B, L) int64, right-padded with 0: the B first views, then the B second ones.
        lengths_V: (2 B,) int64, at least 1.
        users_B: (B,) int64, equal for histories of the same user.
        times_VL: (2 B, L) int64 seconds; None if unknown.
    """

    items_VL: Tensor
    lengths_V: Tensor
    users_B: Tensor
    times_VL: Tensor | None = None

    def to(self, device: torch.device) -> ViewBatch:
        """Return the views on a device."""
        return ViewBatch(
            self.items_VL.to(device),
            self.lengths_V.to(device),
            self.users_B.to(device),
            None if self.times_VL is None else self.times_VL.to(device),
        )


class ViewMaker:
    """Maker of two augmented views of each history of a step, the same however the step is divided.

    Args:
        augmenter: augmenter that makes a view of a history.
        max_length: clicks of a view that the model reads; the last ones are kept.
        seed: seed of the draws, which depend on it and on the step.
    """

    def __init__(self, augmenter: Augmenter[Sequences], *, max_length: int, seed: int) -> None:
        self.augmenter = augmenter
        self.max_length = max_length
        self.seed = seed

    def make(self, histories: Sequences, step: int) -> tuple[Sequences, Sequences]:
        """Make two views of each history.

        Args:
            histories: histories of the whole step, each with at least one click.
            step: optimizer steps done before.
        """
        return self._view(histories, step, 0), self._view(histories, step, 1)

    def _view(self, histories: Sequences, step: int, number: int) -> Sequences:
        draws = SampleRng(self.seed, ("view", step, number), range(len(histories)))
        return self.augmenter.augment(histories, draws).samples.tail(self.max_length)


def collate_views(views: tuple[Sequences, Sequences], users: np.ndarray, rows: np.ndarray) -> ViewBatch:
    """Return padded views of some rows of a step; no rows give tensors of no rows."""
    first, second = (view.take(rows) for view in views)
    lengths_V = np.concatenate([first.lengths, second.lengths])
    times_VL = None
    if first.times is not None and second.times is not None:
        times_VL = torch.from_numpy(pad_rows(np.concatenate([first.times, second.times]), lengths_V))
    return ViewBatch(
        items_VL=torch.from_numpy(pad_rows(np.concatenate([first.items, second.items]), lengths_V)),
        lengths_V=torch.from_numpy(lengths_V),
        users_B=torch.from_numpy(np.asarray(users[rows], dtype=np.int64)),
        times_VL=times_VL,
    )


POOL = 32
"""Batches whose windows are sorted by length together: enough for little padding, few enough to mix."""


@dataclass(frozen=True)
class Windows:
    """Slices of histories: inputs ``items[start:end]``, targets the clicks after them or they themselves.

    Args:
        starts, ends: (W,) positions in the clicks' flat item array.
        first_targets: (W,) inputs from here to ``end`` have a target; earlier ones are only context.
        users: (W,) row of the training log that each comes from.
        augmented: (W,) bool, marks windows of rows that are not users' own clicks.
        clicks: the epoch's rows that the windows are slices of.
    """

    starts: np.ndarray
    ends: np.ndarray
    first_targets: np.ndarray
    users: np.ndarray
    augmented: np.ndarray
    clicks: Sequences

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray) -> Windows:
        """Return some of the windows."""
        return Windows(
            self.starts[rows],
            self.ends[rows],
            self.first_targets[rows],
            self.users[rows],
            self.augmented[rows],
            self.clicks,
        )

    @property
    def target_counts(self) -> np.ndarray:
        """Number of clicks to be predicted in each window, (W,)."""
        return self.ends - self.first_targets

    @property
    def n_targets(self) -> int:
        """Number of clicks to be predicted."""
        return int(self.target_counts.sum())

    def histories(self) -> Sequences:
        """Return the inputs of each window as a row of its own."""
        lengths = self.ends - self.starts
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.arange(offsets[-1]) + np.repeat(self.starts - offsets[:-1], lengths)
        return self.clicks.at(at, offsets)


@dataclass(frozen=True)
class Batch:
    """One process's part of a step.

    Args:
        items_BL: (B, L) int64, right-padded with 0.
        lengths_B: (B,) int64.
        positions_T: (T,) flat indices into B * L that have a target.
        targets_T: (T,) int64.
        places_T: (T,) where each target stands among those of the whole step.
        times_BL: (B, L) int64 seconds; None if unknown.
        views: augmented views of the inputs; None where no loss compares them.
        weights_T: (T,) float32 weight of each target, 1 on average over the training clicks; None if all
            weigh the same.
        soft: a teacher's list for each target; None without a teacher.
    """

    items_BL: Tensor
    lengths_B: Tensor
    positions_T: Tensor
    targets_T: Tensor
    places_T: Tensor
    times_BL: Tensor | None = None
    views: ViewBatch | None = None
    weights_T: Tensor | None = None
    soft: SoftTargets | None = None

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(
            self.items_BL.to(device),
            self.lengths_B.to(device),
            self.positions_T.to(device),
            self.targets_T.to(device),
            self.places_T.to(device),
            None if self.times_BL is None else self.times_BL.to(device),
            None if self.views is None else self.views.to(device),
            None if self.weights_T is None else self.weights_T.to(device),
            None if self.soft is None else self.soft.to(device),
        )

    def only(self, chosen_T: Tensor) -> Batch:
        """Return the batch with some of its targets."""
        return replace(
            self,
            positions_T=self.positions_T[chosen_T],
            targets_T=self.targets_T[chosen_T],
            places_T=self.places_T[chosen_T],
            weights_T=None if self.weights_T is None else self.weights_T[chosen_T],
            soft=None if self.soft is None else self.soft.only(chosen_T),
        )


class WindowBatches:
    """Batches of windows of training sequences, with a new order and new cuts each epoch.

    Every click that has another before it (beside it, if clicks are masked) is a target exactly once per
    epoch. Long histories are cut into overlapping windows of ``max_length`` inputs, at other places in each
    epoch. Weights of clicks are divided by their mean over the training clicks, so that the size of the loss
    doesn't depend on their scale. Everything depends on (seed, epoch) alone, so a resumed run continues with
    the same batches.

    Args:
        sequences: training clicks, one row per user.
        max_length: inputs in a window.
        batch_size: windows in a step, over all processes.
        overlap: share of a window that is only context for the rest.
        seed: seed of the order.
        masked: whether targets are the inputs themselves, for a model that guesses masked clicks; else
            each target is the click after its input.
        source: source of each epoch's rows, such as augmented copies beside ``sequences``; None for
            ``sequences`` alone. A click of a copy is a target like any other.
        views: maker of two augmented views of each history of a step; None if no loss compares them.
        teacher: a teacher's lists for the clicks of ``sequences``; None without a teacher. Clicks of
            augmented copies have no list.
    """

    def __init__(
        self,
        sequences: Sequences,
        *,
        max_length: int,
        batch_size: int,
        overlap: float,
        seed: int,
        masked: bool = False,
        source: EpochSource | None = None,
        views: ViewMaker | None = None,
        teacher: TeacherLists | None = None,
    ) -> None:
        self.sequences = sequences
        self.max_length = max_length
        self.batch_size = batch_size
        self.stride = max(1, round(max_length * (1 - overlap)))
        self.seed = seed
        self.shift = 0 if masked else 1
        self.views = views
        self.teacher = teacher
        self._whole = LogRows(sequences)
        self.source: EpochSource = source or self._whole
        self.n_targets = int(self._inputs(sequences).sum())
        """Targets of an epoch, without augmented copies."""
        if self.n_targets == 0:
            raise ValueError("no user has two training clicks: there is nothing to predict")
        weights = sequences.weights
        self._mean_weight = 1.0 if weights is None else float(weights.mean(dtype=np.float64))
        self._steps = len(self._deal(self._whole, 0))
        self.mean_targets = self.n_targets / self._steps
        """Mean targets per step without copies; steps divide by it, so that every click weighs the same:
        clicks of copies as much as any, and all as much as without copies."""

    def epoch(self, epoch: int) -> list[Windows]:
        """Return the steps of one epoch: global batches, of windows of about the same length."""
        return self._deal(self.source, epoch)

    def expected_steps(self, epochs: int) -> int:
        """Estimate the number of steps of so many epochs, without computing them."""
        return round(self._steps * sum(self.source.size(epoch) for epoch in range(epochs)))

    def _deal(self, source: EpochSource, epoch: int) -> list[Windows]:
        generator = np.random.default_rng((self.seed, epoch))
        windows = self._cut(source.epoch(epoch), generator)
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

    def _inputs(self, sequences: Sequences) -> np.ndarray:
        """Return (B,) the number of clicks of each row that have a target."""
        return np.where(sequences.lengths > 1, sequences.lengths - self.shift, 0)

    def _cut(self, rows: EpochSequences, generator: np.random.Generator) -> Windows:
        begins = np.asarray(rows.sequences.offsets[:-1])
        inputs = self._inputs(rows.sequences)
        phase = generator.integers(0, self.stride, len(inputs))
        first_end = np.minimum(inputs, self.max_length - np.where(inputs > self.max_length, phase, 0))
        count = (inputs > 0) + -(-(inputs - first_end) // self.stride)
        row = np.repeat(np.arange(len(inputs)), count)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        ends = np.minimum(first_end[row] + nth * self.stride, inputs[row])
        first_targets = np.where(nth > 0, first_end[row] + (nth - 1) * self.stride, 0)
        starts = np.maximum(ends - self.max_length, 0)
        return Windows(
            begins[row] + starts,
            begins[row] + ends,
            begins[row] + first_targets,
            rows.users_B[row],
            rows.augmented_B[row],
            rows.sequences,
        )

    def targets(self, step: Windows) -> np.ndarray:
        """Return (G,) int64 targets of a step over all processes, in the order of its windows."""
        counts = step.target_counts
        ends = np.cumsum(counts)
        at = np.repeat(step.first_targets - ends + counts, counts) + np.arange(counts.sum())
        return step.clicks.items[at + self.shift].astype(np.int64)

    def collate(self, step: Windows, rows: np.ndarray | None = None) -> Batch:
        """Return padded tensors of some rows of a step (None: all; no rows: one click without targets)."""
        rows = np.arange(len(step)) if rows is None else rows
        windows = step.take(rows)
        lengths = windows.ends - windows.starts
        steps = np.arange(int(lengths.max(initial=1)))
        at_BL = windows.starts[:, None] + steps
        real_BL = steps < lengths[:, None]
        wanted_BL = real_BL & (at_BL >= windows.first_targets[:, None])
        before = np.cumsum(step.target_counts) - step.target_counts
        places_BL = before[rows][:, None] + at_BL - windows.first_targets[:, None]
        items, times = step.clicks.items, step.clicks.times

        def padded(values: np.ndarray) -> Tensor:
            some = lengths if len(rows) else np.zeros(1, np.int64)
            return torch.from_numpy(pad_rows(values[at_BL[real_BL]], some))

        weights_T = None
        if step.clicks.weights is not None:
            weights = step.clicks.weights[at_BL[wanted_BL] + self.shift] / self._mean_weight
            weights_T = torch.from_numpy(weights.astype(np.float32))
        soft = None
        if self.teacher is not None:
            logged_BL = at_BL + self._shift_to_log(windows)[:, None] + self.shift
            soft = self.teacher.take(np.where(windows.augmented[:, None], ABSENT, logged_BL)[wanted_BL])
        return Batch(
            items_BL=padded(items),
            lengths_B=torch.from_numpy(lengths if len(rows) else np.ones(1, np.int64)),
            positions_T=torch.from_numpy(np.flatnonzero(wanted_BL)),
            targets_T=torch.from_numpy(items[at_BL[wanted_BL] + self.shift].astype(np.int64)),
            places_T=torch.from_numpy(places_BL[wanted_BL]),
            times_BL=None if times is None else padded(times),
            weights_T=weights_T,
            soft=soft,
        )

    def _shift_to_log(self, windows: Windows) -> np.ndarray:
        """Return (W,) what has to be added to positions in the epoch's clicks for those in the log's."""
        begins = np.asarray(windows.clicks.offsets)
        row = np.searchsorted(begins, windows.starts, "right") - 1
        return np.asarray(self.sequences.offsets)[windows.users] - begins[row]

    def parts(
        self, step: Windows, *, rank: int, world: int, accumulation: int, number: int = 0
    ) -> Iterator[Batch]:
        """Iterate over this process's share of a global batch, in ``accumulation`` parts.

        Args:
            step: the global batch.
            rank, world: this process, of how many.
            accumulation: parts.
            number: number of the step in the whole training, on which draws of views depend.
        """
        views = None if self.views is None else self.views.make(step.histories(), number)
        for part in range(accumulation):
            rows = np.arange(rank * accumulation + part, len(step), world * accumulation)
            batch = self.collate(step, rows)
            yield batch if views is None else replace(batch, views=collate_views(views, step.users, rows))
