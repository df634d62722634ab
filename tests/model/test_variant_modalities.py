"""Which view a training look-up takes: drawn from item, progress, seed and stream alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossrec.augment.base import Schedule
from crossrec.augment.content.variants import variant_rng
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.variant_modalities import VariantChoice, VariantFeatures, VariantVectors
from crossrec.types import Sequences


def a_choice(share: float, seed: int = 0, stream: str = "image") -> VariantChoice:
    return VariantChoice(share, Schedule(), seed, stream)


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


def always() -> VariantChoice:
    return VariantChoice(1.0, Schedule(), 0, "image")


def test_progress_reaches_every_choice(lamps: Any) -> None:
    schedule = Schedule(start=0.2, stop=0.8, ramp=0.2)
    trained = lamps.network(lamps.augment(lamps.image_views(share=0.5, schedule=schedule)))
    found = [module for module in trained.modules() if isinstance(module, VariantChoice)]
    assert len(found) == 1
    chances = []
    for progress in (0.0, 0.3, 0.5, 0.9):
        trained.set_progress(progress)
        chances.append(float(found[0].chance))
    assert chances == pytest.approx([0, 0.25, 0.5, 0])
    trained.train()
    rows = torch.arange(lamps.n)
    torch.testing.assert_close(
        trained.items.modalities["image"](rows),
        trained.eval().items.modalities["image"](rows),
        rtol=0,
        atol=0,
    )


def test_evaluation_is_that_of_a_network_without_views(lamps: Any) -> None:
    histories = Sequences.from_lists([[0, 1, 2], [lamps.plain, lamps.cold], [lamps.broken, lamps.missing, 4]])
    plain, viewed = lamps.network(), lamps.network(lamps.augment(lamps.image_views(share=1.0)))
    assert plain.state_dict().keys() == viewed.state_dict().keys()
    viewed.set_progress(0.5)
    scores = [NeuralRecommender(net).score(histories) for net in (plain, viewed)]
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=0)
    rows = torch.arange(lamps.n)
    viewed.train()
    assert not torch.equal(viewed.item_vectors(rows), plain.item_vectors(rows))


def test_views_are_what_the_encoder_makes_of_augmented_pictures(lamps: Any) -> None:
    config = lamps.image_views(share=1.0)
    modality = lamps.pictures(config).train()
    encoder, maker = lamps.encoder.build(lamps.content.cache_dir), config.build()
    keys = lamps.content.image_keys()
    looked_up = torch.stack(list(lamps.at_each_progress(modality, torch.arange(lamps.n), 60)))
    original = modality.eval()(torch.arange(lamps.n))
    for item in range(lamps.n):
        lookups = looked_up[:, item]
        if item in lamps.without_views:
            assert (lookups == original[item]).all()
            continue
        key = str(keys[item])
        shown = lamps.content.catalog.image(item)
        assert shown is not None
        made = [maker.variant([shown], [key], 0, view).samples[0] for view in range(lamps.views)]
        expected = modality.transform(torch.from_numpy(encoder.encode(made)).half())
        nearest = torch.cdist(lookups, expected).min(1)
        assert nearest.values.max() < 0.02 < torch.cdist(expected, original[item : item + 1]).min()
        assert set(nearest.indices.tolist()) == set(range(lamps.views))


def test_share_of_lookups(lamps: Any) -> None:
    modality = lamps.pictures(lamps.image_views(share=0.3))
    items = torch.tensor([0, 1, 2])
    original = modality.eval()(items)
    looked_up = torch.stack(list(lamps.at_each_progress(modality.train(), items, 1500)))
    assert (looked_up != original).any(2).float().mean(0) == pytest.approx([0.3] * 3, abs=0.04)


def test_lookups_of_a_step_see_the_same_in_any_order_and_company(lamps: Any) -> None:
    modality = lamps.pictures(lamps.image_views(share=0.5)).train()
    modality.choice.set_progress(0.5)
    together = modality(torch.arange(lamps.n))
    order = torch.tensor([8, 2, 2, 0, 12, 1])
    assert torch.equal(modality(order), together[order])
    original = modality.eval()(torch.arange(lamps.n))
    assert 0 < (together != original).any(1).sum() < lamps.n - 4


def test_features_on_disk_give_what_resident_ones_give(lamps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = lamps.pictures(lamps.image_views())
    monkeypatch.setattr("crossrec.model.variant_modalities.RESIDENT_BYTES", 0)
    monkeypatch.setattr("crossrec.model.modalities.layers.RESIDENT_BYTES", 0)
    mapped = lamps.pictures(lamps.image_views())
    assert "view_vectors" in dict(resident.named_buffers())
    assert "view_vectors" not in dict(mapped.named_buffers())
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, lamps.n, 200))
    for training in (True, False):
        found = [modality.train(training)(rows) for modality in (resident, mapped)]
        torch.testing.assert_close(found[0], found[1])


def test_views_are_whitened_by_the_originals() -> None:
    rng = np.random.default_rng(0)
    vectors, present = rng.normal(size=(20, 6)).astype(np.float32), np.arange(20) % 4 > 0
    views = VariantVectors(rng.normal(5, 9, size=(10, 6)).astype(np.float32), np.repeat(np.arange(5), 2))
    viewed = VariantFeatures(vectors, present, views, always(), components=3)
    plain = FrozenFeatures(vectors, present, components=3)
    assert torch.equal(viewed.basis, plain.basis)
    assert torch.equal(viewed.mean, plain.mean)
    found = viewed.train()(torch.arange(5))
    possible = plain.transform(torch.from_numpy(views.vectors_TW)).view(5, 2, 3)
    assert torch.isclose(found[:, None], possible).all(2).any(1).all()


def test_rows_of_zeros_are_no_view() -> None:
    vectors, present = np.eye(4, dtype=np.float32), np.ones(4, bool)
    table = np.asarray([[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    views = VariantVectors(table, np.asarray([0, 0, 2, 2]))
    viewed = VariantFeatures(vectors, present, views, always(), components=None).train()
    original = viewed.eval()(torch.arange(4))
    found = viewed.train()(torch.arange(4))
    assert torch.equal(found[1:], original[1:])
    assert torch.equal(found[:1], viewed.transform(torch.tensor([[1, 2, 3, 4]])))
    none = VariantVectors(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    bare = VariantFeatures(vectors, present, none, always(), components=None).train()
    assert torch.equal(bare(torch.arange(4)), original)
