"""Distillation: lists of training prefixes, kept on disk, and a student that learns from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.losses.distillation import SoftTargets
from crossrec.losses.terms.weighting import RANKING
from crossrec.model.recommender import NeuralRecommender
from crossrec.training import teacher as module
from crossrec.training.config import DistillationConfig
from crossrec.training.epochs import EpochSequences
from crossrec.training.task import DISTILLATION, ItemPredictionTask
from crossrec.training.teacher import LISTS, TeacherLists, lists_key
from crossrec.training.windows import Batch, WindowBatches
from crossrec.types import ABSENT, Sequences, TopK

N_ITEMS, LENGTH, K = 60, 8, 5


class NextButOne:
    """A teacher of its own opinion: after item i comes i + 2; it may stop after some calls.

    Args:
        stop_after: number of calls after which it fails; None for never.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.histories: list[list[int]] = []
        self.left = stop_after

    @property
    def n_items(self) -> int:
        return N_ITEMS

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        last_B = histories.items[histories.offsets[1:] - 1]
        ahead_BN = (np.arange(N_ITEMS) - last_B[:, None] - 2) % N_ITEMS
        return torch.from_numpy(-ahead_BN.astype(np.float32) + 100.0)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        if self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        self.histories += [histories.row(row).tolist() for row in range(len(histories))]
        scores_BN = self.score(histories)
        if exclude is not None:
            scores_BN[exclude.row_of_click, exclude.items] = -torch.inf
        best = scores_BN.topk(k)
        return TopK(best.indices.numpy(), best.values.numpy())


def lists(folder: Path, train: Sequences, teacher: NextButOne, *, exclude_seen: bool = True) -> TeacherLists:
    found = TeacherLists(folder, train, K, exclude_seen=exclude_seen)
    found.compute(lambda: teacher)
    return found


def test_a_list_is_of_the_clicks_before_alone(tmp_path: Path, clicks: Sequences) -> None:
    teacher = NextButOne()
    soft = lists(tmp_path, clicks, teacher).take(np.arange(len(clicks.items)))
    prefixes = [
        clicks.row(row)[:end].tolist() for row in range(len(clicks)) for end in range(1, len(clicks.row(row)))
    ]
    assert teacher.histories[1:] == prefixes  # the first call is of one history, for the vectors of items
    firsts = np.asarray(clicks.offsets[:-1])
    assert soft.taught_T.numpy()[firsts].sum() == 0
    assert soft.taught_T.sum() == len(prefixes)
    at = int(clicks.offsets[3]) + 2
    history = clicks.row(3)[:2]
    wanted = [
        item for step in range(2, N_ITEMS) if (item := int(history[-1] + step) % N_ITEMS) not in history
    ][:K]
    assert soft.ids_TK[at].tolist() == wanted
    assert soft.scores_TK[at, 0] == 0
    assert (soft.scores_TK[at].diff() <= 0).all()


def test_a_killed_computation_resumes_and_damage_is_repaired(
    tmp_path: Path, clicks: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 100)
    whole = lists(tmp_path / "whole", clicks, NextButOne()).take(np.arange(len(clicks.items)))
    with pytest.raises(KeyboardInterrupt):
        lists(tmp_path / "killed", clicks, NextButOne(stop_after=3))
    rest = NextButOne()
    resumed = lists(tmp_path / "killed", clicks, rest)
    assert 0 < len(rest.histories) < int(whole.taught_T.sum()) - 150
    assert torch.equal(resumed.take(np.arange(len(clicks.items))).ids_TK, whole.ids_TK)
    never = NextButOne(stop_after=0)
    lists(tmp_path / "killed", clicks, never)
    content = bytearray((tmp_path / "killed" / LISTS).read_bytes())
    content[-1] ^= 1
    (tmp_path / "killed" / LISTS).write_bytes(content)
    repaired = lists(tmp_path / "killed", clicks, NextButOne())
    assert torch.equal(repaired.take(np.arange(len(clicks.items))).scores_TK, whole.scores_TK)


def test_the_key_names_all_inputs(clicks: Sequences) -> None:
    other = clicks.take(np.arange(len(clicks))[::-1])
    keys = {
        lists_key(teacher, train, k, exclude_seen=seen)
        for teacher in ("a", "b")
        for train in (clicks, other)
        for k in (5, 6)
        for seen in (True, False)
    }
    assert len(keys) == 16


class SomeRows:
    """Rows of the log in another order, some of them twice, and one augmented copy."""

    def __init__(self, train: Sequences) -> None:
        self.train = train

    def epoch(self, epoch: int) -> EpochSequences:
        users = np.array([4, 2, 2, 9, 7])
        return EpochSequences(self.train.take(users), users, np.array([False, False, False, False, True]))

    def size(self, epoch: int) -> float:
        return 1.0


@pytest.mark.parametrize("masked", [False, True])
def test_batches_hold_the_lists_of_their_targets(tmp_path: Path, clicks: Sequences, *, masked: bool) -> None:
    teacher = lists(tmp_path, clicks, NextButOne(), exclude_seen=False)
    dealer = WindowBatches(
        clicks,
        max_length=4,
        batch_size=3,
        overlap=0.25,
        seed=0,
        masked=masked,
        source=SomeRows(clicks),
        teacher=teacher,
    )
    taught = 0
    for step in dealer.epoch(0):
        for batch in dealer.parts(step, rank=0, world=1, accumulation=2):
            assert batch.soft is not None
            width = batch.items_BL.shape[1]
            for place, list_K in zip(batch.positions_T.tolist(), batch.soft.ids_TK.tolist(), strict=True):
                row, column = divmod(place, width)
                last = column - 1 if masked else column
                if list_K[0] != ABSENT and last >= 0:
                    taught += 1
                    assert list_K[0] == (int(batch.items_BL[row, last]) + 2) % N_ITEMS
    lengths = clicks.lengths
    expected = sum(lengths[u] - 1 for u in (4, 2, 2, 9))
    assert expected - 10 <= taught <= expected  # the first input of a window has none before it, if masked
    assert taught == expected or masked


def batches(train: Sequences, teacher: TeacherLists | None) -> WindowBatches:
    return WindowBatches(train, max_length=LENGTH, batch_size=30, overlap=0.25, seed=0, teacher=teacher)


def distilled(task: ItemPredictionTask, **options: Any) -> ItemPredictionTask:
    config = DistillationConfig(k=K, **options)
    return ItemPredictionTask(task.network, task.objective, task.train_items, distillation=config)


def losses_of(task: ItemPredictionTask, batch: Batch, dealer: WindowBatches, step: Any) -> dict[str, Tensor]:
    return task(batch, task.sample_negatives(3, dealer.targets(step)))


@pytest.mark.parametrize("objective", ["full", "sampled"])
def test_parts_of_a_step_add_up_to_the_whole(
    tmp_path: Path, clicks: Sequences, task: Callable[..., ItemPredictionTask], objective: str
) -> None:
    dealer = batches(clicks, lists(tmp_path, clicks, NextButOne()))
    student = distilled(task(None, objective=objective), weight=0.3)
    step = dealer.epoch(0)[0]
    whole = losses_of(student, dealer.collate(step), dealer, step)
    parts = [
        losses_of(student, batch, dealer, step)
        for rank in range(2)
        for batch in dealer.parts(step, rank=rank, world=2, accumulation=2)
    ]
    assert set(whole) == {RANKING, DISTILLATION}
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in parts), value)
    plain = losses_of(task(None, objective=objective), dealer.collate(step), dealer, step)
    torch.testing.assert_close(whole[RANKING], 0.7 * plain[RANKING])


@pytest.mark.parametrize(
    ("objective", "model"), [("full", "sasrec"), ("sampled", "sasrec"), ("full", "bert4rec")]
)
def test_a_student_learns_its_teacher_rather_than_the_clicks(
    tmp_path: Path, clicks: Sequences, task: Callable[..., ItemPredictionTask], objective: str, model: str
) -> None:
    masked = model == "bert4rec"
    teacher = NextButOne()
    dealer = WindowBatches(
        clicks,
        max_length=LENGTH,
        batch_size=30,
        overlap=0.25,
        seed=0,
        masked=masked,
        teacher=lists(tmp_path, clicks, teacher, exclude_seen=False),
    )
    student = distilled(task(None, objective=objective, model=model), weight=0.95, temperature=1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.01)
    student.train()
    first, last = 0.0, 0.0
    for number in range(12):
        total = 0.0
        for step in dealer.epoch(number):
            losses = losses_of(student, dealer.collate(step), dealer, step)
            optimizer.zero_grad()
            (sum(losses.values()) / step.n_targets).backward()
            optimizer.step()
            total += losses[DISTILLATION].item()
        first, last = (total, total) if number == 0 else (first, total)
    assert last < 0.85 * first
    scores_BN = NeuralRecommender(student.network).score(clicks)
    listed = scores_BN.gather(1, torch.from_numpy(teacher.recommend(clicks, K).ids))
    # Post-norm BERT4Rec learns its last position slowly.
    assert masked or (listed[:, 0] > listed[:, -1]).float().mean() > 0.8


def test_a_batch_without_lists_is_an_error(
    clicks: Sequences, task: Callable[..., ItemPredictionTask]
) -> None:
    dealer = batches(clicks, None)
    step = dealer.epoch(0)[0]
    with pytest.raises(ValueError, match="hold no lists"):
        losses_of(distilled(task(None)), dealer.collate(step), dealer, step)


def test_clicks_without_a_list_keep_their_ranking_loss(
    clicks: Sequences, task: Callable[..., ItemPredictionTask]
) -> None:
    dealer = batches(clicks, None)
    step = dealer.epoch(0)[0]
    batch = dealer.collate(step)
    n = len(batch.targets_T)
    empty = SoftTargets(torch.full((n, K), ABSENT), torch.full((n, K), -torch.inf))
    found = losses_of(distilled(task(None)), replace(batch, soft=empty), dealer, step)
    plain = losses_of(task(None), batch, dealer, step)
    assert found[DISTILLATION].item() == 0
    torch.testing.assert_close(found[RANKING], plain[RANKING])
