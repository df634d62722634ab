"""k-DPPs on small sets against brute force over all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from crossrec.exploration.dpp_sampling import KDPP, polynomials

C, SAMPLES = 6, 10_000


def kernel(seed: int, rank: int = C) -> torch.Tensor:
    factors = torch.randn(C, rank, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 30 * factors @ factors.T


def exact(matrix: torch.Tensor, k: int) -> dict[tuple[int, ...], float]:
    """Chance of every subset of k."""
    weights = {s: float(np.linalg.det(matrix.numpy()[np.ix_(s, s)])) for s in combinations(range(C), k)}
    total = sum(weights.values())
    return {s: max(weight, 0.0) / total for s, weight in weights.items()}


@pytest.mark.parametrize(("k", "rank"), [(1, 6), (2, 6), (3, 6), (3, 4), (5, 6), (6, 6)])
def test_chances_against_brute_force(k: int, rank: int) -> None:
    matrices = torch.stack([kernel(seed, rank) for seed in range(4)])
    dpp = KDPP(matrices, k)
    inclusion = dpp.inclusion()
    for row, matrix in enumerate(matrices):
        chances = exact(matrix, k)
        expected = [sum(p for s, p in chances.items() if item in s) for item in range(C)]
        np.testing.assert_allclose(inclusion[row], expected, atol=1e-9)
        likely = max(chances, key=lambda s: chances[s])
        columns = torch.tensor([likely] * len(matrices))
        np.testing.assert_allclose(dpp.log_probability(columns)[row].exp(), chances[likely], rtol=1e-8)


@pytest.mark.parametrize(("k", "rank"), [(2, 6), (3, 4), (4, 6)])
def test_samples_have_the_chances(k: int, rank: int) -> None:
    matrix = kernel(7, rank)
    dpp = KDPP(matrix.expand(SAMPLES, -1, -1), k)
    uniform = torch.rand(SAMPLES, C + k, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, counts = np.unique(dpp.sample(uniform).numpy(), axis=0, return_counts=True)
    chances = exact(matrix, k)
    observed = {tuple(s): n / SAMPLES for s, n in zip(found.tolist(), counts, strict=True)}
    for subset, chance in chances.items():
        error = np.sqrt(max(chance * (1 - chance), 1 / SAMPLES) / SAMPLES)
        assert abs(observed.get(subset, 0.0) - chance) < 5 * error


def test_polynomials_against_numpy() -> None:
    values = torch.rand(3, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for row in range(3):
        expected = np.poly(-values[row].numpy())[:4]
        np.testing.assert_allclose(polynomials(values, 3)[row, -1], expected, rtol=1e-12)


def test_rank_says_how_many_can_be_drawn() -> None:
    dpp = KDPP(torch.stack([kernel(0, 2), kernel(0, 6)]), 2)
    assert dpp.n_possible.tolist() == [2, 6]
