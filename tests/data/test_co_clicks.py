"""The space of co-clicks: who clicks what in training, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data import co_clicks
from crossrec.data.co_clicks import BehaviourConfig, behaviour_space, co_click_vectors, has_co_clicks
from crossrec.types import InputError, Sequences

LOGS = st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=2, max_size=12).filter(
    lambda rows: has_co_clicks(Sequences.from_lists(rows))
)


def shared_users(rows: list[list[int]], n_items: int) -> np.ndarray:
    """Return (N, N) cosines of the items' sets of users, pair by pair."""
    sets = [{user for user, row in enumerate(rows) if item in row} for item in range(n_items)]
    scale = [max(len(users), 1) ** 0.5 for users in sets]
    both = list(zip(sets, scale, strict=True))
    return np.array([[len(a & b) / (x * y) for b, y in both] for a, x in both])


@settings(max_examples=25, deadline=None)
@given(LOGS)
def test_without_truncation_cosines_are_those_of_the_users(rows: list[list[int]]) -> None:
    train = Sequences.from_lists(rows)
    vectors = co_click_vectors(train, 10, width=10)
    assert np.allclose(vectors @ vectors.T, shared_users(rows, 10), atol=1e-3)
    assert (vectors.any(1) == (np.bincount(train.items, minlength=10) > 0)).all()


def log_of_groups(n_users: int, n_items: int, seed: int = 0, groups: int = 8) -> Sequences:
    generator = np.random.default_rng(seed)
    group = np.arange(n_items) % groups
    rows = [generator.choice(np.flatnonzero(group == user % groups), 6) for user in range(n_users)]
    noise = [np.append(row, generator.integers(n_items)) for row in rows]
    return Sequences.from_lists([row.tolist() for row in noise])


@pytest.mark.parametrize(("n_users", "n_items"), [(700, 900), (900, 700)])
def test_truncation_is_the_exact_one_of_a_dense_decomposition(n_users: int, n_items: int) -> None:
    train = log_of_groups(n_users, n_items)
    found = co_click_vectors(train, n_items, width=8)
    clicks = np.zeros((n_users, n_items))
    clicks[train.row_of_click, train.items] = 1
    scaled = clicks / np.sqrt(np.maximum(clicks.sum(0), 1))
    _, values, axes = np.linalg.svd(scaled, full_matrices=False)
    exact = axes[:8].T * values[:8]
    exact /= np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)
    assert np.abs(found @ found.T - exact @ exact.T).max() < 1e-3


def test_repeats_order_and_users_numbers_make_no_difference() -> None:
    rows = [row.tolist() for row in map(log_of_groups(60, 30).row, range(60))]
    first = co_click_vectors(Sequences.from_lists(rows), 30, width=5)
    other = co_click_vectors(Sequences.from_lists([row[::-1] + row for row in rows[::-1]]), 30, width=5)
    assert np.allclose(first @ first.T, other @ other.T, atol=1e-4)


def test_repeated_singular_values_give_the_same_vectors_at_every_call() -> None:
    """Pairs of users and items without a link: all values are equal, and any 64 axes are leading ones."""
    train = Sequences.from_lists([[user - user % 2, user - user % 2 + 1] for user in range(600)])
    first = co_click_vectors(train, 600)
    np.random.default_rng().normal(size=3)
    co_click_vectors(log_of_groups(450, 500), 500)
    assert np.array_equal(co_click_vectors(train, 600), first)
    assert np.isfinite(first).all()


def test_too_few_users_or_items_are_an_error() -> None:
    few: list[list[list[int]]] = [[[0, 1]], [[0], [0]], [[], []], [[0, 1], []]]
    for rows in few:
        train = Sequences.from_lists(rows)
        assert not has_co_clicks(train)
        with pytest.raises(InputError, match="two users on two items"):
            co_click_vectors(train, 4)


def test_vectors_of_large_logs_are_computed_once_and_follow_the_clicks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, config = log_of_groups(40, 20), BehaviourConfig(width=4)
    expected = behaviour_space(train, 20, config, tmp_path)
    assert not list(tmp_path.iterdir()), "small logs leave no file"
    monkeypatch.setattr(co_clicks, "STORED_CLICKS", 10)
    first = behaviour_space(train, 20, config, tmp_path)
    assert np.array_equal(first.vectors_ND, expected.vectors_ND)
    (path,) = (tmp_path / "behaviour").glob("*.npy")

    def fail(*_: object) -> np.ndarray:
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(co_clicks, "co_click_vectors", fail)
        again = behaviour_space(train, 20, config, tmp_path)
        assert np.array_equal(again.vectors_ND, expected.vectors_ND)
        changed = replace(train, items=np.roll(train.items, 1))
        for other in ((changed, 20, config), (train, 21, config), (train, 20, BehaviourConfig(width=5))):
            with pytest.raises(AssertionError, match="computed again"):
                behaviour_space(*other, tmp_path)
    path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x80?")
    recomputed = behaviour_space(train, 20, config, tmp_path)
    assert np.array_equal(recomputed.vectors_ND, expected.vectors_ND)
