"""The deletion check: passes what is true of a planted model, fails what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from crossrec.explain.faithfulness import SHARES, Deletion, deletion_curves, faithfulness


def planted(seed: int, n_parts: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A model that is a sum of parts: their true weights, and the same in a wrong order."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=n_parts) ** 3
    return weights, rng.permutation(weights)


def test_curves_by_hand() -> None:
    weights = np.asarray([1.0, 4.0, 2.0, 3.0])
    found = deletion_curves(Deletion(weights, lambda kept_VP: kept_VP @ weights), n_random=5, seed=0)
    # A tenth to a half of four parts: at least one part, then one, one, two and two of them.
    np.testing.assert_allclose(found.explained_S, [4, 4, 4, 7, 7])
    assert found.random_RS.shape == (5, len(SHARES))
    assert found.aopc == pytest.approx(5.2)
    assert (found.random_RS <= found.explained_S).all()
    assert set(found.random_RS[:, 0]) <= set(weights)


def test_all_variants_are_scored_in_one_call() -> None:
    calls = []

    def scores(kept_VP: np.ndarray) -> np.ndarray:
        calls.append(kept_VP)
        return kept_VP.sum(1).astype(float)

    deletion_curves(Deletion(np.arange(10.0), scores), n_random=3, seed=0)
    assert len(calls) == 1
    assert calls[0].shape == (1 + 4 * len(SHARES), 10)
    assert calls[0][0].all()
    np.testing.assert_array_equal(10 - calls[0][1:].sum(1), [1, 2, 3, 4, 5] * 4)


def linear(weights: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A score that is a weighted sum of what is kept."""
    return lambda kept_VP: kept_VP @ weights


def test_a_true_explanation_passes_and_a_shuffled_one_fails() -> None:
    true, shuffled = [], []
    for seed in range(40):
        weights, wrong = planted(seed)
        true.append(Deletion(weights, linear(weights)))
        shuffled.append(Deletion(wrong, linear(weights)))
    found = faithfulness(true)
    assert found.passes
    assert found.n_pairs == 40
    assert found.difference["value"] == pytest.approx(found.aopc["value"] - found.random_aopc["value"])
    assert not faithfulness(shuffled).passes


def test_an_explanation_upside_down_is_worse_than_chance() -> None:
    cases = [Deletion(-weights, linear(weights)) for weights, _ in (planted(seed) for seed in range(40))]
    found = faithfulness(cases)
    assert not found.passes
    assert found.difference["ci95"][1] < 0


def test_unsigned_explanations_count_any_change() -> None:
    weights = np.asarray([-5.0, 1.0, 0.0, 0.5])
    size = Deletion(np.abs(weights), lambda kept_VP: kept_VP @ weights, signed=False)
    assert deletion_curves(size, n_random=3, seed=0).explained_S[0] == pytest.approx(5)


def test_nothing_to_choose_from() -> None:
    alone = Deletion(np.ones(1), lambda kept_VP: kept_VP.sum(1).astype(float))
    found = faithfulness([alone])
    assert found.n_pairs == 0
    assert not found.passes
    assert np.isnan(found.curve_S).all()
