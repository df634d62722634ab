"""The map of frozen features: bounded by the number of items, the same on any number of threads, saved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.whitening import Whitening, fit_map, saved_maps
from crossrec.training.checkpoint import load_trained_state
from crossrec.types import InputError

WIDTH, KINDS = 384, 10


def shop_features(n_items: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(N, W) float16 like an encoder's: kinds of items, their common variation, and noise; (N,) kinds."""
    generator = np.random.default_rng(seed)
    kinds = np.arange(n_items) % KINDS
    centers = generator.normal(size=(KINDS, WIDTH))
    factors = generator.normal(size=(n_items, 12)) @ generator.normal(size=(12, WIDTH)) * 0.3
    noise = 0.4 * generator.normal(size=(n_items, WIDTH))
    return (2 + centers[kinds] + factors + noise).astype(np.float16), kinds


def mapped(vectors: np.ndarray, whitening: Whitening) -> np.ndarray:
    module = FrozenFeatures(vectors, np.ones(len(vectors), bool), components=whitening)
    return module(torch.arange(len(vectors))).numpy()


def cosines(vectors: np.ndarray) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = unit @ unit.T
    np.fill_diagonal(found, np.nan)
    return found


def share_of_own_kind(vectors: np.ndarray, kinds: np.ndarray) -> float:
    """Of the ten nearest items."""
    nearest = np.argsort(np.nan_to_num(-cosines(vectors), nan=np.inf), axis=1)[:, :10]
    return float((kinds[nearest] == kinds[:, None]).mean())


@pytest.mark.parametrize("whitening", ["auto", 8, None])
def test_features_are_centred(whitening: Whitening) -> None:
    vectors, _ = shop_features(150)
    found = mapped(vectors, whitening)
    assert np.abs(vectors.astype(np.float32).mean(0)).min() > 0.5
    assert np.abs(found.mean(0)).max() < 1e-3 * found.std()


def test_the_items_of_a_small_shop_are_not_equally_far_from_each_other() -> None:
    vectors, kinds = shop_features(150)
    raw = vectors.astype(np.float32) - vectors.astype(np.float32).mean(0)
    assert share_of_own_kind(raw, kinds) > 0.8
    auto, by_heart = mapped(vectors, "auto"), mapped(vectors, 149)
    assert np.nanstd(cosines(by_heart)) < 0.03
    assert np.nanstd(cosines(auto)) > 0.15
    assert share_of_own_kind(auto, kinds) > 0.8 * share_of_own_kind(raw, kinds)


@pytest.mark.parametrize(("n_items", "kept"), [(20, 8), (150, 18), (500, 62), (4000, 256)])
def test_dimensions_follow_the_number_of_items(n_items: int, kept: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(n_items, WIDTH)).astype(np.float32)
    found = fit_map(vectors, np.ones(n_items, bool), "auto")
    assert found.width == kept
    assert found.n_items == n_items
    assert found.variance == pytest.approx(0.5, abs=0.49)
    assert fit_map(vectors, np.ones(n_items, bool), 5).width == 5


def test_few_directions_of_variance_are_all_that_is_kept() -> None:
    generator = np.random.default_rng(0)
    plain = generator.normal(size=(2000, 5)) @ generator.normal(size=(5, WIDTH))
    found = fit_map(plain, np.ones(2000, bool), "auto")
    assert found.width <= 5
    assert found.variance == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("whitening", ["auto", 256])
def test_what_no_item_shows_is_not_blown_up(whitening: Whitening) -> None:
    """A view or a new item differs from all items in directions that are empty among them."""
    vectors = shop_features(100)[0].astype(np.float32)
    found = fit_map(vectors, np.ones(100, bool), whitening)
    centered = vectors - vectors.mean(0)
    noise = np.random.default_rng(1).normal(size=WIDTH)
    row_space = np.linalg.svd(centered, full_matrices=False)[2][:99]
    unseen = noise - row_space.T @ (row_space @ noise)
    shown = np.linalg.norm((centered @ found.basis), axis=1).mean() / np.linalg.norm(centered, axis=1).mean()
    assert np.linalg.norm(unseen @ found.basis) / np.linalg.norm(unseen) < 0.01 * shown


# By default tests/experiment/test_number_of_threads.py looks at whole trainings.
@pytest.mark.slow
def test_the_map_does_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", shop_features(150)[0])
    script = (
        "import sys, numpy as np; from crossrec.model.whitening import fit_map; "
        "v = np.load(sys.argv[1]); present = np.ones(len(v), bool); "
        "maps = [fit_map(v, present, whitening).basis for whitening in ('auto', 256)]; "
        "np.save(sys.argv[2], np.concatenate(maps, axis=1))"
    )
    bases = []
    for threads in ("1", "2"):
        out = tmp_path / f"{threads}.npy"
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        arguments = [sys.executable, "-c", script, str(tmp_path / "vectors.npy"), str(out)]
        subprocess.run(arguments, env=environment, check=True, cwd=Path(__file__).parents[2])
        bases.append(np.load(out))
    np.testing.assert_array_equal(bases[0], bases[1])


def test_the_order_of_the_items_turns_no_axis() -> None:
    vectors = shop_features(300)[0]
    order = np.random.default_rng(3).permutation(300)
    one, other = (fit_map(v, np.ones(300, bool), "auto") for v in (vectors, vectors[order]))
    np.testing.assert_allclose(one.basis, other.basis, atol=1e-5)


def test_saved_maps_are_used_as_they_were_saved() -> None:
    few, many = shop_features(150)[0], shop_features(400)[0]
    trained = FrozenFeatures(few, np.ones(150, bool), components="auto")
    state = {f"items.modalities.text.{name}": value for name, value in trained.state_dict().items()}
    known = saved_maps(state)
    assert set(known) == {"text"}
    grown = FrozenFeatures(many, np.ones(400, bool), components=known["text"])
    assert grown.width == trained.width
    expected = trained.transform(torch.tensor(many))
    torch.testing.assert_close(grown(torch.arange(400)), expected)


def test_weights_of_another_width_are_refused_in_one_line(tmp_path: Path) -> None:
    vectors = shop_features(150)[0]
    trained, other = (FrozenFeatures(vectors, np.ones(150, bool), components=c) for c in (8, 9))
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"basis.*\(384, 8\) there.*\(384, 9\)"):
        load_trained_state(other, tmp_path / "model.safetensors")


@pytest.mark.parametrize("whitening", ["auto", 16, None])
def test_items_that_are_all_alike_or_missing_are_mapped_to_numbers(whitening: Whitening) -> None:
    for vectors, present in (
        (np.ones((20, 6), np.float32), np.ones(20, bool)),
        (np.full((20, 6), np.nan, np.float32), np.zeros(20, bool)),
        (np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32), np.arange(20) < 1),
    ):
        found = fit_map(vectors, present, whitening)
        assert np.isfinite(found.basis).all()
        assert np.isfinite(found.mean).all()
