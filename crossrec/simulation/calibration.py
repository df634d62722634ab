"""Calibration of predicted probabilities: reliability table and expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bin:
    """Alternatives with similar predicted probabilities.

    Args:
        n: number of alternatives.
        predicted: mean predicted probability.
        observed: share that was chosen.
        ci95: Wilson interval of that share; it ignores the slight dependence among alternatives of one
            choice.
    """

    n: int
    predicted: float
    observed: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Reliability table.

    Args:
        bins: bins by ascending probability.
        error: expected calibration error, the plain mean over bins of |observed - predicted|; each bin has
            as many expected choices, whatever its number of alternatives.
        worst: largest |observed - predicted| of a bin.
    """

    bins: tuple[Bin, ...]
    error: float
    worst: float

    def lines(self) -> list[str]:
        """Return the table as text, one line per bin."""
        return [
            f"{b.n:>10,}  predicted {b.predicted:.4f}  observed {b.observed:.4f} "
            f"[{b.ci95[0]:.4f}, {b.ci95[1]:.4f}]"
            for b in self.bins
        ]


def calibration(chances_TC: np.ndarray, n_bins: int) -> Calibration:
    """Measure the calibration of T choices among C alternatives, the first of which was chosen.

    Most alternatives are very unlikely, so bins of equal width or equal size would contain almost only
    those. Bins here have equal sums of probabilities.

    Args:
        chances_TC: probabilities; rows sum to 1.
        n_bins: maximum number of bins.

    Source:
        Guo et al.: On calibration of modern neural networks (ICML 2017), equation 3; there bins have equal
        width and are weighted by size, here they have equal sums of probabilities and equal weights.
    """
    chosen_TC = np.zeros(chances_TC.shape)
    chosen_TC[:, 0] = 1
    order = np.argsort(chances_TC.ravel(), kind="stable")
    chance, chosen = chances_TC.ravel()[order], chosen_TC.ravel()[order]
    place = np.minimum((np.cumsum(chance) / chance.sum() * n_bins).astype(int), n_bins - 1)
    bins = [
        _bin(chance[place == number], chosen[place == number])
        for number in range(n_bins)
        if (place == number).any()
    ]
    gaps = [abs(b.observed - b.predicted) for b in bins]
    return Calibration(tuple(bins), float(np.mean(gaps)), max(gaps))


def _bin(chance: np.ndarray, chosen: np.ndarray) -> Bin:
    return Bin(
        len(chance), float(chance.mean()), float(chosen.mean()), wilson(int(chosen.sum()), len(chosen))
    )


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Source:
        Wilson: Probable inference, the law of succession, and statistical inference (1927).
    """
    z, share = 1.959963984540054, successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(max(centre - half, 0.0)), float(min(centre + half, 1.0))
