"""Two augmented views of each history of a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossrec.augment.base import Augmenter, SampleRng
from crossrec.types import Sequences


@dataclass(frozen=True)
class ViewBatch:
    """Views of the histories of one process's part of a step.

    Args:
        items_VL: (2 B, L) int64, right-padded with 0: the B first views, then the B second ones.
        lengths_V: (2 B,) int64, at least 1.
        users_B: (B,) int64, equal for histories of the same user.
        times_VL: (2 B, L) int64 seconds; None where not known.
    """

    items_VL: Tensor
    lengths_V: Tensor
    users_B: Tensor
    times_VL: Tensor | None = None

    def to(self, device: torch.device) -> ViewBatch:
        """The views on a device."""
        return ViewBatch(
            self.items_VL.to(device),
            self.lengths_V.to(device),
            self.users_B.to(device),
            None if self.times_VL is None else self.times_VL.to(device),
        )


class ViewMaker:
    """Makes the views of a whole step, so that they are the same however the step is divided.

    Args:
        augmenter: makes a view of a history.
        max_length: clicks of a view that the model reads; the last ones are kept.
        seed: of the draws, which depend on it and on the step.
    """

    def __init__(self, augmenter: Augmenter[Sequences], *, max_length: int, seed: int) -> None:
        self.augmenter = augmenter
        self.max_length = max_length
        self.seed = seed

    def make(self, histories: Sequences, step: int) -> tuple[Sequences, Sequences]:
        """Two views of each history.

        Args:
            histories: of the whole step, each with at least one click.
            step: optimiser steps done before.
        """
        return self._view(histories, step, 0), self._view(histories, step, 1)

    def _view(self, histories: Sequences, step: int, number: int) -> Sequences:
        draws = SampleRng(self.seed, ("view", step, number), range(len(histories)))
        return self.augmenter.augment(histories, draws).samples.tail(self.max_length)


def collate_views(views: tuple[Sequences, Sequences], users: np.ndarray, rows: np.ndarray) -> ViewBatch:
    """Padded views of some rows of a step; none gives tensors of no rows."""
    first, second = (view.take(rows) for view in views)
    lengths_V = np.concatenate([first.lengths, second.lengths])
    real_VL = np.arange(int(lengths_V.max(initial=1))) < lengths_V[:, None]
    times_VL = None
    if first.times is not None and second.times is not None:
        times_VL = _padded(np.concatenate([first.times, second.times]), real_VL)
    return ViewBatch(
        items_VL=_padded(np.concatenate([first.items, second.items]), real_VL),
        lengths_V=torch.from_numpy(lengths_V),
        users_B=torch.from_numpy(np.asarray(users[rows], dtype=np.int64)),
        times_VL=times_VL,
    )


def _padded(values: np.ndarray, real_VL: np.ndarray) -> Tensor:
    padded_VL = np.zeros(real_VL.shape, dtype=np.int64)
    padded_VL[real_VL] = values
    return torch.from_numpy(padded_VL)
