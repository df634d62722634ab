"""Top-k with ties by index, seen items, short lists; files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, write_text
from crossrec.runtime.ranking import mask_seen, top_k
from crossrec.types import ABSENT, Sequences

FEW_VALUES = st.sampled_from([-1.0, 0.0, 0.5, 2.0, float("-inf")])


def slow_top_k(scores: list[float], k: int) -> list[int]:
    allowed = [i for i, s in enumerate(scores) if s != float("-inf")]
    best = sorted(allowed, key=lambda i: (-scores[i], i))[:k]
    return best + [ABSENT] * (k - len(best))


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda n: st.lists(st.lists(FEW_VALUES, min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    k=st.integers(1, 12),
)
def test_top_k_equals_a_slow_sort(rows: list[list[float]], k: int) -> None:
    lists = top_k(torch.tensor(rows), k)
    assert lists.ids.tolist() == [slow_top_k(row, k) for row in rows]
    for row, ids, scores in zip(rows, lists.ids, lists.scores, strict=True):
        assert [row[i] if i != ABSENT else float("-inf") for i in ids] == scores.tolist()


def test_seen_items_are_masked_row_by_row() -> None:
    scores = torch.zeros(3, 5)
    mask_seen(scores, Sequences.from_lists([[1, 1, 4], [], [0]]))
    assert torch.isneginf(scores).nonzero().tolist() == [[0, 1], [0, 4], [2, 0]]


def test_take_and_tail() -> None:
    rows = Sequences.from_lists([[1, 2, 3], [], [4, 5]])
    taken = rows.take(np.asarray([2, 0, 0]), np.asarray([9, 2, 0]))
    assert [taken.row(i).tolist() for i in range(3)] == [[4, 5], [1, 2], []]
    assert [rows.tail(2).row(i).tolist() for i in range(3)] == [[2, 3], [], [4, 5]]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_half_way() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("new, but")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_one_process_has_everything() -> None:
    assert distributed.shard(7) == slice(0, 7)
    assert distributed.gather_objects("x") == ["x"]
    assert distributed.total(2.5) == 2.5
