"""Which view a training look-up takes: drawn from item, progress, seed and stream alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossrec.augment.base import Schedule
from crossrec.augment.content.variants import variant_rng
from crossrec.model.views import ViewChoice


def a_choice(share: float, seed: int = 0, stream: str = "image") -> ViewChoice:
    return ViewChoice(share, Schedule(), seed, stream)


def test_share_and_each_view_alike() -> None:
    items, counts = torch.arange(120_000), torch.tensor([0, 1, 4]).repeat(40_000)
    chosen = a_choice(0.4)(items, counts).view(-1, 3)
    assert (chosen[:, 0] == -1).all()
    for column, views in ((1, 1), (2, 4)):
        taken = chosen[:, column]
        assert (taken >= 0).float().mean() == pytest.approx(0.4, abs=0.01)
        shares = torch.bincount(taken[taken >= 0], minlength=views) / (taken >= 0).sum()
        assert len(shares) == views
        assert (shares - 1 / views).abs().max() < 0.015


def test_draws_are_those_of_splitmix64() -> None:
    choice = a_choice(0.5, seed=7)
    choice.set_progress(0.3)
    salt, whole = int(choice.salt) % 2**64, 2**64
    items, counts = torch.arange(500), torch.full((500,), 9)

    def uniform(item: int, salt: int) -> float:
        mixed = (item * 0x9E3779B97F4A7C15 + salt) % whole
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % whole
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % whole
        return ((mixed ^ (mixed >> 31)) >> 40) / 2**24

    expected = [int(uniform(i, salt + 1) * 9) if uniform(i, salt) < 0.5 else -1 for i in range(500)]
    assert choice(items, counts).tolist() == expected


@given(counts=st.lists(st.integers(0, 9), max_size=30), share=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_a_choice_exists(counts: list[int], share: float, seed: int) -> None:
    counts_K = torch.tensor(counts, dtype=torch.long)
    chosen_K = a_choice(share, seed)(torch.arange(len(counts)), counts_K)
    assert ((chosen_K >= -1) & (chosen_K < counts_K.clamp(min=0) + (counts_K == 0))).all()


def test_draws_depend_on_item_progress_seed_and_stream_alone() -> None:
    items, counts = torch.arange(200), torch.full((200,), 5)
    choice = a_choice(0.5)
    choice.set_progress(0.25)
    chosen = choice(items, counts)
    torch.manual_seed(99)  # what PyTorch drew before makes no difference, nor do order and company
    some = torch.randperm(200)[:70].repeat(2)
    assert torch.equal(choice(some, counts[some]), chosen[some])
    resumed = a_choice(0.5)
    resumed.set_progress(0.25)
    assert torch.equal(resumed(items, counts), chosen)
    others = [a_choice(0.5, seed=1), a_choice(0.5, stream="text"), a_choice(0.5)]
    for other in others:
        other.set_progress(0.25)
    others[-1].set_progress(0.5)
    assert all(0.4 < (other(items, counts) != chosen).float().mean() < 0.9 for other in others)


def test_draws_of_a_view_do_not_depend_on_the_others() -> None:
    first = variant_rng(0, 1, ["a", "b"]).of(1).random()
    assert variant_rng(0, 1, ["b"]).of(0).random() == first
    assert variant_rng(0, 2, ["b"]).of(0).random() != first
