"""Quality figures: against slow oracles, at their limits, and on generators that fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.augment.generators import quality
from crossrec.augment.generators.collapse import Failure, find_failures
from crossrec.augment.generators.fit import TrainingSamples
from crossrec.augment.generators.gaussian import Gaussian
from crossrec.augment.generators.quality import manifold, mean_quality, measure
from crossrec.types import InputError


def _oracle(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage in plain Python."""

    def radius(points: np.ndarray, i: int) -> float:
        return sorted(float(np.linalg.norm(points[i] - p)) for j, p in enumerate(points) if j != i)[k - 1]

    reach, fake_reach = ([radius(p, i) for i in range(len(p))] for p in (real, fake))
    far = [[float(np.linalg.norm(r - f)) for f in fake] for r in real]
    precision = np.mean([any(far[i][j] <= reach[i] for i in range(len(real))) for j in range(len(fake))])
    recall = np.mean([any(far[i][j] <= fake_reach[j] for j in range(len(fake))) for i in range(len(real))])
    inside = sum(far[i][j] <= reach[i] for i in range(len(real)) for j in range(len(fake)))
    coverage = np.mean([min(far[i]) <= reach[i] for i in range(len(real))])
    return float(precision), float(recall), inside / k / len(fake), float(coverage)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(6, 20), st.integers(6, 20), st.floats(0, 3))
@settings(max_examples=30)
def test_manifold_agrees_with_a_slow_oracle(seed: int, k: int, n: int, m: int, shift: float) -> None:
    generator = np.random.default_rng(seed)
    real = generator.standard_normal((n, 3)).astype(np.float32)
    fake = (generator.standard_normal((m, 3)) + shift).astype(np.float32)
    found = manifold(real, fake, k)
    expected = _oracle(real, fake, k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected, abs=1e-6)


def test_blocks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = np.random.default_rng(0).standard_normal((2, 50, 4)).astype(np.float32)
    whole = manifold(real, fake)
    monkeypatch.setattr(quality, "BLOCK", 7)
    assert manifold(real, fake) == whole


def test_real_samples_are_as_good_as_expected() -> None:
    # Coverage of as many vectors of the same law is 1 - 2^-k (Naeem et al. 2020, lemma 2).
    real, fake = np.random.default_rng(0).standard_normal((2, 1500, 4)).astype(np.float32)
    found = manifold(real, fake)
    assert found.coverage == pytest.approx(1 - 2**-5, abs=0.02)
    assert found.density == pytest.approx(1, abs=0.1)


def test_far_samples_cover_nothing() -> None:
    real = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    found = manifold(real, real + 100)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="too few to compare by 5 neighbours"):
        manifold(np.zeros((5, 2)), np.zeros((20, 2)))


def _real(n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training vectors of two classes with their classes, and others held back."""
    generator = np.random.default_rng(1)
    kind = np.arange(2 * n) % 2
    vectors = generator.standard_normal((2 * n, 8)).astype(np.float32) + 6 * kind[:, None]
    classes = np.eye(2, dtype=np.float32)[kind]
    return vectors[:n], classes[:n], vectors[n:]


def _failures(samples: np.ndarray) -> set[Failure]:
    train, classes, held_back = _real()
    return {w.failure for w in find_failures(measure(samples, classes, train, classes, held_back))}


def test_a_good_generator_gets_no_warning() -> None:
    train, classes, held_back = _real()
    sampler = Gaussian.Options().build(train, classes, 0).sampler
    import torch

    samples = sampler.draw(torch.from_numpy(classes), 0).numpy()
    found = measure(samples, classes, train, classes, held_back)
    assert find_failures(found) == ()
    assert found.copy_ratio == pytest.approx(1, abs=0.1)
    assert found.copied_share is not None
    assert found.copied_share < 0.05
    assert found.spread_within == pytest.approx(1, abs=0.05)


def test_copies_are_caught_though_they_cover_everything() -> None:
    train, classes, held_back = _real()
    noise = np.random.default_rng(2).standard_normal(train.shape).astype(np.float32)
    samples = train + 1e-3 * noise
    found = measure(samples, classes, train, classes, held_back)
    assert found.train.coverage == 1
    assert found.copy_ratio is not None
    assert found.copy_ratio < 0.01
    assert _failures(samples) == {Failure.COPYING}


def test_one_mode_a_class_is_caught_though_classes_differ() -> None:
    _, classes, _ = _real()
    noise = np.random.default_rng(2).standard_normal((len(classes), 8)).astype(np.float32)
    samples = 6 * classes[:, 1:] + 0.01 * noise
    assert Failure.MODE_COLLAPSE in _failures(samples)


def test_samples_beside_the_data_are_told_from_collapse() -> None:
    train, _, _ = _real()
    assert _failures(train[::-1] + 50) == {Failure.OFF_DATA}


def test_samples_at_one_real_place_are_collapse_by_recall() -> None:
    train, classes, _ = _real()
    noise = np.random.default_rng(2).standard_normal(train.shape).astype(np.float32)
    found = {
        str(w).split(" 0")[0]
        for w in find_failures(measure(train[:1] + 0.01 * noise, classes, train, classes))
    }
    assert "mode collapse: recall" in found


def test_losses_that_grow_are_named() -> None:
    train, classes, held_back = _real()
    quality = measure(train[::-1] * 0.999, classes, train, classes, held_back)
    calm: list[dict[str, float | str]]
    calm = [{"kind": "step", "step": i, "distance": 5.0 - 0.01 * i, "generator": 0.1} for i in range(30)]
    wild: list[dict[str, float | str]]
    wild = [{"kind": "step", "step": i, "distance": 2.0**i, "generator": 0.1} for i in range(30)]
    assert Failure.DIVERGING not in {w.failure for w in find_failures(quality, calm)}
    assert Failure.DIVERGING in {w.failure for w in find_failures(quality, wild)}


def test_an_unused_code_is_named() -> None:
    train, classes, held_back = _real()
    quality = measure(train, classes, train, classes, held_back)
    report: dict[str, float | list[float]] = {"kl": 0.0, "kl_terms": [0.0, 0.0], "collapsed": 2.0}
    assert Failure.UNUSED_CODE in {w.failure for w in find_failures(quality, (), report)}


def test_row_holds_every_figure_once() -> None:
    train, classes, held_back = _real(40)
    row = measure(train, classes, train, classes, held_back).row()
    assert row["coverage"] == 1
    assert {"held_back_density", "copy_ratio", "spread_within", "n_held_back"} <= row.keys()
    assert measure(train, classes, train, classes).row()["copy_ratio"] is None


def test_the_mean_over_draws_is_of_every_figure() -> None:
    train, classes, held_back = _real(40)
    pair = [measure(train * factor, classes, train, classes, held_back) for factor in (1.0, 1.1)]
    rows = [quality.row() for quality in pair]
    for name, value in mean_quality(pair).row().items():
        assert value == pytest.approx(np.mean([row[name] for row in rows])), name


def test_of_many_samples_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossrec.augment.generators.fit.MOST_COMPARED", 30)
    generator = np.random.default_rng(0)
    data = TrainingSamples.divide(generator.normal(size=(400, 3)), np.ones((400, 1)), 0.25, seed=0)
    learned, held_back = data.compared()
    assert len(learned) == len(held_back) == 30
    assert data.learned[learned].all()
    assert not data.learned[held_back].any()
    assert len(np.unique(learned)) == 30
