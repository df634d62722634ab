"""Top-k with ties by index, over tiles of any size; seen items, short lists; files that
appear whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.runtime import distributed
from crossrec.runtime.files import atomic_path, write_text
from crossrec.runtime.ranking import Tiles, mask_seen, rank_by_vectors, recommend_by_score, top_k
from crossrec.types import ABSENT, Sequences, TopK

FEW_VALUES = np.array([-1.0, -0.0, 0.0, 0.5, 2.0, -np.inf], np.float32)
MANY_VALUES = np.linspace(-4, 4, 4001, dtype=np.float32)


def slow_top_k(scores: np.ndarray, k: int) -> list[int]:
    allowed = [i for i, s in enumerate(scores) if s != float("-inf")]
    best = sorted(allowed, key=lambda i: (-scores[i], i))[:k]
    return best + [ABSENT] * (k - len(best))


def check(lists: TopK, scores_BN: np.ndarray, k: int) -> None:
    assert lists.ids.tolist() == [slow_top_k(row, k) for row in scores_BN]
    for row, ids, scores in zip(scores_BN, lists.ids, lists.scores, strict=True):
        assert [row[i] if i != ABSENT else float("-inf") for i in ids] == scores.tolist()


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(0, 5),
    n_items=st.integers(0, 700),
    k=st.integers(0, 25),
    seed=st.integers(0, 2**32 - 1),
    values=st.sampled_from([FEW_VALUES, MANY_VALUES]),
)
def test_top_k_equals_a_slow_sort(rows: int, n_items: int, k: int, seed: int, values: np.ndarray) -> None:
    scores_BN = np.random.default_rng(seed).choice(values, (rows, n_items))
    check(top_k(torch.from_numpy(scores_BN), k), scores_BN, k)


@pytest.mark.parametrize("score", [0.0, -3.5, 1e30, float("inf")])
def test_equal_scores_everywhere_give_the_first_items(score: float) -> None:
    assert top_k(torch.full((2, 1000), score), 7).ids.tolist() == [list(range(7))] * 2


def test_a_peak_in_the_shorter_last_block_is_found() -> None:
    scores_BN = np.zeros((1, 999), np.float32)
    scores_BN[0, 998] = 1
    check(top_k(torch.from_numpy(scores_BN), 3), scores_BN, 3)


@settings(max_examples=100, deadline=None)
@given(
    n_queries=st.integers(0, 12),
    n_items=st.integers(1, 500),
    k=st.integers(1, 40),
    tiles=st.builds(Tiles, users=st.integers(1, 6), scores=st.integers(1, 1500)),
    seed=st.integers(0, 2**32 - 1),
)
def test_tiles_do_not_show(n_queries: int, n_items: int, k: int, tiles: Tiles, seed: int) -> None:
    # Small integers: products are exact, and most scores are tied.
    rng = np.random.default_rng(seed)
    queries_BD = rng.integers(-2, 3, (n_queries, 3)).astype(np.float32)
    vectors_ND = rng.integers(-2, 3, (n_items, 3)).astype(np.float32)
    exclude = Sequences.from_lists(rng.integers(0, n_items, rng.integers(0, 30)) for _ in range(n_queries))
    scores_BN = queries_BD @ vectors_ND.T
    for row in range(n_queries):
        scores_BN[row, exclude.row(row)] = -np.inf
    lists = rank_by_vectors(torch.from_numpy(queries_BD), torch.from_numpy(vectors_ND), k, exclude, tiles)
    check(lists, scores_BN, k)


@pytest.mark.parametrize("direction", [1, -1])
def test_scores_that_rise_or_fall_through_all_tiles(direction: int) -> None:
    vectors_ND = direction * torch.arange(5000.0)[:, None]
    lists = rank_by_vectors(torch.ones(3, 1), vectors_ND, 20, None, Tiles(users=2, scores=512))
    check(lists, np.repeat(vectors_ND.T.numpy(), 3, 0), 20)


def test_one_tile_of_scores_exists_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    product: Callable[..., torch.Tensor] = torch.mm

    def watch(left: torch.Tensor, right: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        sizes.append(out.numel())
        return product(left, right, out=out)

    monkeypatch.setattr(torch, "mm", watch)
    rank_by_vectors(torch.ones(70, 2), torch.ones(4000, 2), 5, None, Tiles(users=16, scores=8192))
    assert max(sizes) <= 8192
    assert sum(sizes) == 70 * 4000


def test_users_with_everything_seen_get_nothing() -> None:
    everything = Sequences.from_lists([range(300), [], range(299)])
    lists = rank_by_vectors(torch.ones(3, 2), torch.ones(300, 2), 2, everything)
    assert lists.ids.tolist() == [[ABSENT, ABSENT], [0, 1], [299, ABSENT]]
    assert lists.ids.dtype == np.int64
    assert lists.scores.dtype == np.float32


def test_an_empty_catalogue_gives_empty_lists() -> None:
    assert rank_by_vectors(torch.ones(2, 3), torch.ones(0, 3), 2, None).ids.tolist() == [[ABSENT] * 2] * 2


@pytest.mark.parametrize("n_items", [5, 500])
@pytest.mark.parametrize("nan", [float("nan"), -float("nan")])
def test_nan_is_an_error_wherever_it_stands(n_items: int, nan: float) -> None:
    scores_BN = torch.zeros(3, n_items)
    scores_BN[1, n_items - 1] = nan
    with pytest.raises(ValueError, match="NaN"):
        top_k(scores_BN, 2)


def test_seen_items_are_masked_row_by_row() -> None:
    scores = torch.zeros(3, 5)
    mask_seen(scores, Sequences.from_lists([[1, 1, 4], [], [0]]))
    assert torch.isneginf(scores).nonzero().tolist() == [[0, 1], [0, 4], [2, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([[0]], "1 rows of items to leave out, for 2"), ([[5], []], "item 5 "), ([[], [2, -1]], "item -1 ")],
)
def test_seen_items_that_do_not_fit_are_refused(rows: list[list[int]], message: str) -> None:
    exclude = Sequences.from_lists(rows)
    with pytest.raises(ValueError, match=message):
        mask_seen(torch.zeros(2, 5), exclude)
    with pytest.raises(ValueError, match=message):
        rank_by_vectors(torch.zeros(2, 1), torch.zeros(5, 1), 1, exclude)


class Counting:
    """Counts how many scores it is asked for at a time."""

    def __init__(self, n_items: int) -> None:
        self.n_items = n_items
        self.asked: list[int] = []

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        self.asked.append(len(histories))
        return torch.arange(float(self.n_items)).repeat(len(histories), 1)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        return recommend_by_score(self, histories, k, exclude, batch=3)


def test_scores_are_asked_for_a_few_histories_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = Sequences.from_lists([[9], [], [8], [9, 8], [1], [2], [3]])
    small = Counting(10)
    assert small.recommend(histories, 2, histories).ids[:4].tolist() == [[8, 7], [9, 8], [9, 7], [7, 6]]
    assert small.asked == [3, 3, 1]
    monkeypatch.setattr("crossrec.runtime.ranking.search.SCORES_AT_ONCE", 20)
    large = Counting(10)
    large.recommend(histories, 2)
    assert large.asked == [2, 2, 2, 1]


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
