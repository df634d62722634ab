"""Accounts of exposure in a file: shared by processes, whole after a kill, and the same as in memory."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.exposure import ExposureStore, Pace
from crossrec.rerank.quota import Quota
from crossrec.types import InputError, Sequences

N, C, K = 24, 10, 4
IDS = [f"i{number}" for number in range(N)]


def pool_of(seed: int, n_rows: int = 1) -> Pool:
    rng = np.random.default_rng(seed)
    chances = 1 / (1 + np.arange(N))
    ids = np.stack([rng.choice(N, C, replace=False, p=chances / chances.sum()) for _ in range(n_rows)])
    scores = -np.sort(-rng.random((n_rows, C)), axis=1).astype(np.float32)
    return Pool(torch.from_numpy(ids), torch.from_numpy(scores), Sequences.from_lists([[]] * n_rows))


def stage_on(path: Path | None, ids: list[str] = IDS, **options: Any) -> Quota:
    stage: Quota = Quota.Options(**{"diversity": 0.5, **options}).build(ItemTable.of_size(len(ids)))
    stage.share_account(ExposureStore(path), ids)
    return stage


def counts(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as database:
        return dict(database.execute("SELECT id, shown FROM item"))


def test_processes_that_share_a_file_act_as_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "exposure.sqlite"
    stages = [stage_on(path), stage_on(path), stage_on(path)]
    alone = Quota.Options(diversity=0.5).build(ItemTable.of_size(N))
    shown = np.zeros(N, dtype=int)
    for number in range(60):
        if number == 30:
            stages[0] = stage_on(path)  # restarted
        found = stages[number % 3].rerank(pool_of(number), K).ids_BC
        assert torch.equal(found, alone.rerank(pool_of(number), K).ids_BC)
        np.add.at(shown, found.numpy().ravel(), 1)
    assert counts(path) == dict(zip(IDS, shown.tolist(), strict=True))


def _serve(path: Path, first: int) -> None:
    stage = stage_on(path)
    for number in range(first, first + 15):
        stage.rerank(pool_of(number), K)


def test_no_list_of_two_processes_at_once_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "exposure.sqlite"
    stage_on(path)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_serve, args=(path, 100 * number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sum(counts(path).values()) == 2 * 15 * K


def test_an_error_leaves_the_account_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "exposure.sqlite"
    stage, alone = stage_on(path), Quota.Options(diversity=0.5).build(ItemTable.of_size(N))
    stage.rerank(pool_of(0), K)
    alone.rerank(pool_of(0), K)
    before = counts(path)
    with monkeypatch.context() as patch:
        patch.setattr(Pace, "accepts", lambda self, cost: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stage.rerank(pool_of(1), K)
    assert counts(path) == before
    for number in range(2, 12):
        assert torch.equal(stage.rerank(pool_of(number), K).ids_BC, alone.rerank(pool_of(number), K).ids_BC)


def test_other_orders_and_new_items_keep_the_account(tmp_path: Path) -> None:
    path = tmp_path / "exposure.sqlite"
    first = stage_on(path, every=5)
    for number in range(10):
        first.rerank(pool_of(number), K)
    shown, grown = counts(path), [*reversed(IDS), "new"]
    second = stage_on(path, grown, every=5)
    with second.account.opened():
        assert second.account.shown_G[:-1].tolist() == [*(shown[i] for i in reversed(IDS)), 0]
        # A group that joined after ten lists has no floor to reach in them.
        assert second.account.since_G[:-1].tolist() == [0] * N + [10]
        assert second.account.lists == 10


def test_a_file_that_is_no_account_is_named(tmp_path: Path) -> None:
    other = tmp_path / "photo.jpg"
    other.write_bytes(b"no database " * 100)
    with pytest.raises(InputError, match=r"photo.jpg: the account of exposure can't be used .*another file"):
        stage_on(other)
    assert other.read_bytes() == b"no database " * 100
    with sqlite3.connect(tmp_path / "shop.sqlite") as database:
        database.execute("CREATE TABLE item (price REAL)")
    with pytest.raises(InputError, match=r"shop.sqlite: a database, but no account of exposure"):
        stage_on(tmp_path / "shop.sqlite")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another file"):
        stage_on(tmp_path / "file" / "exposure.sqlite")


def test_the_pace_keeps_its_share_when_costs_drift() -> None:
    rng = np.random.default_rng(0)
    pace = Pace(0.3)
    accepted = [pace.accepts(cost) for cost in rng.random(4000) * np.linspace(0.1, 1, 4000)]
    assert abs(np.mean(accepted) - 0.3) < 0.03
    everything, nothing = Pace(1.0), Pace(0.0)
    assert all(everything.accepts(cost) for cost in range(50))
    assert not any(nothing.accepts(-cost) for cost in range(50))
    tenth = Pace(0.1)
    assert [tenth.budget(4) for _ in range(5)] == [0, 0, 1, 0, 1]
