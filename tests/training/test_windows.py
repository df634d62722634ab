"""Windows: every click a target once, nothing crosses users, the same on any number of processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences


def sequences(lengths: list[int]) -> Sequences:
    """Items count up over the whole log, so that an item tells its own place."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Sequences(offsets, np.arange(offsets[-1], dtype=np.int32))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda lengths: max(lengths) > 1),
    max_length=st.integers(1, 12),
    batch_size=st.integers(1, 7),
    overlap=st.sampled_from([0.0, 0.25, 0.9]),
    epoch=st.integers(0, 3),
)
def test_every_click_but_the_first_is_a_target_once(
    lengths: list[int], max_length: int, batch_size: int, overlap: float, epoch: int
) -> None:
    log = sequences(lengths)
    batches = WindowBatches(log, max_length=max_length, batch_size=batch_size, overlap=overlap, seed=1)
    seen = []
    for step in batches.epoch(epoch):
        assert 0 < len(step) <= batch_size
        batch = batches.collate(step)
        assert batch.items_BL.shape[1] <= max_length
        inputs = batch.items_BL.flatten()[batch.positions_T]
        # In this log the click after item i is item i + 1, which also proves that no user is crossed.
        assert torch.equal(inputs + 1, batch.targets_T)
        seen += batch.targets_T.tolist()
    firsts = {int(o) for o, n in zip(log.offsets[:-1], lengths, strict=True) if n}
    assert sorted(seen) == sorted(set(range(sum(lengths))) - firsts)


def test_processes_and_parts_divide_a_step() -> None:
    batches = WindowBatches(sequences([5, 9, 3, 30, 2]), max_length=8, batch_size=5, overlap=0.25, seed=0)
    for step in batches.epoch(0):
        whole = sorted(batches.collate(step).targets_T.tolist())
        shares = [
            target
            for rank in range(3)
            for part in batches.parts(step, rank=rank, world=3, accumulation=2)
            for target in part.targets_T.tolist()
        ]
        assert sorted(shares) == whole


def test_same_seed_same_batches_and_another_epoch_others() -> None:
    log = sequences([20] * 30)
    first, second = (
        WindowBatches(log, max_length=8, batch_size=4, overlap=0.5, seed=3).epoch(2) for _ in range(2)
    )
    assert all(np.array_equal(a.starts, b.starts) for a, b in zip(first, second, strict=True))
    other = WindowBatches(log, max_length=8, batch_size=4, overlap=0.5, seed=3).epoch(3)
    assert [s.starts.tolist() for s in first] != [s.starts.tolist() for s in other]


def test_a_log_of_one_click_users_is_an_error() -> None:
    with pytest.raises(ValueError, match="two training clicks"):
        WindowBatches(sequences([1, 1, 0]), max_length=8, batch_size=4, overlap=0.0, seed=0)
