"""Augmented copies beside the originals: marked, drawn anew each epoch, the same for every process."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.augment.base import Schedule
from crossrec.augment.sequences.base import SequenceContext
from crossrec.augment.sequences.compose import SequenceAugmentConfig
from crossrec.data.item_table import ItemTable
from crossrec.training.epochs import AugmentedCopies, EpochSequences, LogRows
from crossrec.training.windows import Batch, ViewMaker, WindowBatches
from crossrec.types import Sequences

EPOCHS = 10


def log(n_users: int = 200) -> Sequences:
    generator = np.random.default_rng(0)
    rows = [generator.permutation(50)[:n] for n in generator.integers(0, 20, n_users)]
    plain = Sequences.from_lists(rows)
    return Sequences(plain.offsets, plain.items, np.arange(len(plain.items)))


def augmenter(train: Sequences) -> Any:
    config = SequenceAugmentConfig.model_validate(
        {"augmenters": [{"type": name} for name in ("crop", "mask", "reorder", "substitute", "insert")]}
    )
    return config.build(SequenceContext(train, ItemTable.of_size(50)))


def copies(train: Sequences, number: float = 1.0, **options: Any) -> AugmentedCopies:
    given: dict[str, Any] = {
        "max_clicks": None,
        "schedule": Schedule(),
        "epochs": EPOCHS,
        "seed": 5,
        **options,
    }
    return AugmentedCopies(given.pop("source", LogRows(train)), augmenter(train), copies=number, **given)


def dealer(train: Sequences, source: AugmentedCopies | None, **options: Any) -> WindowBatches:
    return WindowBatches(train, max_length=8, batch_size=16, overlap=0.25, seed=0, source=source, **options)


def rows_of(epoch: EpochSequences, augmented: bool) -> list[tuple[int, ...]]:
    return [tuple(epoch.sequences.row(int(b))) for b in np.flatnonzero(epoch.augmented_B == augmented)]


def test_originals_come_first_and_copies_are_marked() -> None:
    train = log()
    epoch = copies(train, 2.0).epoch(3)
    n = len(train)
    assert not epoch.augmented_B[:n].any()
    assert epoch.augmented_B[n:].all()
    assert np.array_equal(epoch.sequences.items[: len(train.items)], train.items)
    originals = epoch.sequences.take(np.arange(n))
    assert originals.times is not None
    assert train.times is not None
    assert np.array_equal(originals.times, train.times)
    assert n < len(epoch.augmented_B) - n < 2 * n
    for b in range(n, len(epoch.augmented_B)):
        original = train.row(int(epoch.users_B[b])).tolist()
        assert epoch.sequences.row(b).tolist() != original
        assert len(epoch.sequences.row(b)) >= 2
        assert set(epoch.sequences.row(b).tolist()) <= set(train.items.tolist())


@pytest.mark.parametrize(("number", "low", "high"), [(0.3, 0.2, 0.4), (1.0, 1.0, 1.0), (1.5, 1.4, 1.6)])
def test_a_share_of_the_rows_is_copied_and_others_each_epoch(number: float, low: float, high: float) -> None:
    # Rows so long that every augmenter changes them.
    train = Sequences.from_lists([np.random.default_rng(b).permutation(50)[:20] for b in range(300)])
    source = copies(train, number)
    first, second = (source.epoch(e) for e in (0, 1))
    assert low <= first.augmented_B.sum() / 300 <= high
    assert rows_of(first, True) != rows_of(second, True)
    assert rows_of(first, True) == rows_of(copies(train, number).epoch(0), True)
    assert rows_of(first, True) != rows_of(copies(train, number, seed=6).epoch(0), True)


def test_a_schedule_and_a_limit_on_clicks() -> None:
    train = log()
    source = copies(train, schedule=Schedule(start=0.2, stop=0.8, ramp=0.4), max_clicks=9)
    sizes = [int(source.epoch(e).augmented_B.sum()) for e in range(EPOCHS)]
    assert sizes[0] == sizes[1] == sizes[2] == sizes[8] == sizes[9] == 0
    assert 0 < sizes[3] < sizes[5] <= sizes[7] + 20
    epoch = source.epoch(6)
    assert train.lengths[epoch.users_B[epoch.augmented_B]].max() == 9
    assert source.size(0) == 1.0
    assert source.size(6) == 2.0


def test_copies_of_drawn_users_keep_their_user() -> None:
    train = log()
    drawn = LogRows(train, lambda epoch: np.repeat(np.arange(50, 60), 3) + epoch)
    epoch = copies(train, source=drawn).epoch(1)
    assert epoch.users_B[:30].tolist() == np.repeat(np.arange(51, 61), 3).tolist()
    assert set(epoch.users_B.tolist()) <= set(range(51, 61))
    assert len(set(rows_of(epoch, True))) > 15


def test_rows_that_a_source_marks_are_not_copied() -> None:
    train = log(30)

    class Marked(LogRows):
        def epoch(self, epoch: int) -> EpochSequences:
            return EpochSequences(train, np.arange(30), np.arange(30) % 2 == 0)

    epoch = copies(train, source=Marked(train)).epoch(0)
    assert (epoch.users_B[30:] % 2 == 1).all()


def test_without_copies_the_batches_are_those_of_the_log() -> None:
    train = log()
    plain, none = dealer(train, None), dealer(train, copies(train, 0.0))
    for ours, theirs in zip(none.epoch(2), plain.epoch(2), strict=True):
        assert torch.equal(none.collate(ours).items_BL, plain.collate(theirs).items_BL)
        assert not ours.augmented.any()


def test_every_click_of_originals_and_copies_is_a_target_once() -> None:
    train = log()
    source = copies(train)
    batches = dealer(train, source)
    epoch = source.epoch(4)
    wanted: Counter[tuple[int, bool, int]] = Counter()
    for b in range(len(epoch.sequences)):
        for item in epoch.sequences.row(b)[1:]:
            wanted[int(epoch.users_B[b]), bool(epoch.augmented_B[b]), int(item)] += 1
    seen: Counter[tuple[int, bool, int]] = Counter()
    for step in batches.epoch(4):
        targets = batches.targets(step)
        assert Counter(batches.collate(step).targets_T.tolist()) == Counter(targets.tolist())
        at = np.repeat(np.arange(len(step)), step.target_counts)
        seen.update(zip(step.users[at].tolist(), step.augmented[at].tolist(), targets.tolist(), strict=True))
    assert seen == wanted


def test_a_click_weighs_the_same_with_and_without_copies() -> None:
    train = log()
    with_copies, without = dealer(train, copies(train, 2.0)), dealer(train, None)
    assert with_copies.mean_targets == without.mean_targets
    assert with_copies.n_targets == without.n_targets


def test_the_steps_expected_are_about_those_that_come() -> None:
    train = log(500)
    # Reordered rows are as long as the originals.
    source = copies(train, schedule=Schedule(start=0.3, ramp=0.4))
    source.augmenter = SequenceAugmentConfig.model_validate({"augmenters": [{"type": "reorder"}]}).build(
        SequenceContext(train, ItemTable.of_size(50))
    )
    batches = dealer(train, source)
    real = sum(len(batches.epoch(e)) for e in range(EPOCHS))
    assert abs(batches.expected_steps(EPOCHS) - real) < 0.15 * real
    plain = dealer(train, None)
    assert plain.expected_steps(EPOCHS) == EPOCHS * len(plain.epoch(0))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_processes_divide_the_same_copies_and_views(world: int, accumulation: int) -> None:
    train = log()

    def parts(world: int, accumulation: int) -> list[list[tuple[list[int], ...]]]:
        """Each step's rows: inputs, and both views of them."""
        # Every process builds its own.
        dealers = [
            dealer(train, copies(train), views=ViewMaker(augmenter(train), max_length=8, seed=1))
            for _ in range(world)
        ]
        steps = []
        for number, _ in enumerate(dealers[0].epoch(1)):
            found: list[tuple[list[int], ...]] = []
            for rank, own in enumerate(dealers):
                step = own.epoch(1)[number]
                options = {"rank": rank, "world": world, "accumulation": accumulation}
                for part in own.parts(step, number=number, **options):
                    found += rows_of_batch(part)
            steps.append(sorted(found))
            if number == 3:
                break
        return steps

    assert parts(world, accumulation) == parts(1, 1)


def rows_of_batch(batch: Batch) -> list[tuple[list[int], ...]]:
    assert batch.views is not None
    n = len(batch.views.users_B)
    views = [
        items[:length].tolist()
        for items, length in zip(batch.views.items_VL, batch.views.lengths_V.tolist(), strict=True)
    ]
    inputs = [row[:length].tolist() for row, length in zip(batch.items_BL, batch.lengths_B, strict=True)]
    return [(inputs[b], views[b], views[n + b]) for b in range(n)]


def test_views_are_two_and_others_in_each_step() -> None:
    train = log()
    histories = train.take(np.flatnonzero(train.lengths >= 5))
    maker = ViewMaker(augmenter(train), max_length=8, seed=1)
    first, second = maker.make(histories, 4)
    assert len(first) == len(second) == len(histories)
    assert first.lengths.max() <= 8
    assert first.lengths.min() >= 1
    assert first.items.tolist() != second.items.tolist()
    assert first.items.tolist() == maker.make(histories, 4)[0].items.tolist()
    assert first.items.tolist() != maker.make(histories, 5)[0].items.tolist()


def test_a_part_of_a_step_without_histories_has_no_views() -> None:
    train = Sequences.from_lists([[1, 2, 3, 4], [5, 6, 7]])
    batches = dealer(train, None, views=ViewMaker(augmenter(train), max_length=8, seed=1))
    (step,) = batches.epoch(0)
    (part,) = batches.parts(step, rank=2, world=3, accumulation=1)
    assert part.views is not None
    assert part.views.items_VL.shape[0] == len(part.views.users_B) == 0
