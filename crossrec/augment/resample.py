"""Resampling of training rows: weights of users, and rows drawn with replacement each epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from crossrec.config import Config
from crossrec.types import ABSENT, InputError, Sequences


class ResampleConfig(Config):
    """Weighted resampling of users per epoch, against imbalance of categories, items, activity or segments.

    Every switch is an exponent, 0 for off; active weights are multiplied. An epoch has about as many clicks
    as the log, so that training costs the same with and without resampling.

    Args:
        category: users whose clicks fall in categories with few training clicks come more often, by the mean
            of ``clicks of the category ** -category`` over their clicks.
        popularity: users who click items with few training clicks come more often, by the mean of
            ``clicks of the item ** -popularity`` over their clicks.
        activity: users with few clicks come more often, by ``clicks ** -activity``; 1 gives every user the
            same share of the clicks.
        segment: users of small segments come more often, by ``size ** -segment``; needs ``segments``.
        max_repeats: maximum expected number of occurrences of a user in an epoch.
    """

    category: float = Field(0.0, ge=0, le=2)
    popularity: float = Field(0.0, ge=0, le=2)
    activity: float = Field(0.0, ge=0, le=2)
    segment: float = Field(0.0, ge=0, le=2)
    max_repeats: float = Field(10.0, ge=1)

    @property
    def active(self) -> tuple[str, ...]:
        """Active weights, by name and exponent."""
        powers = {
            "category": self.category,
            "popularity": self.popularity,
            "activity": self.activity,
            "segment": self.segment,
        }
        return tuple(f"{name} {power:g}" for name, power in powers.items() if power > 0)


STREAM = 0x5E5A
"""Separates these draws from those of batches, which depend on (seed, epoch) too."""


@dataclass(frozen=True)
class Resampler:
    """Sampler of training rows, identical on every process.

    Args:
        weights_U: (U,) relative probabilities of the rows, 0 for a row without targets.
        lengths_U: (U,) number of clicks of each row.
        seed: seed of the draws.
        max_repeats: maximum expected number of occurrences of a row in an epoch.
    """

    weights_U: np.ndarray
    lengths_U: np.ndarray
    seed: int
    max_repeats: float

    @cached_property
    def expected_U(self) -> np.ndarray:
        """(U,) expected number of occurrences per epoch; the clicks add up to those of the log.

        Where ``max_repeats`` limits rows, the others compensate as far as they may.
        """
        usable_U = self.weights_U > 0
        clicks = float(self.lengths_U[usable_U].sum())
        expected_U = np.zeros(len(self.weights_U))
        capped_U = np.zeros(len(self.weights_U), dtype=bool)
        while True:
            free_U = usable_U & ~capped_U
            left = clicks - self.max_repeats * float(self.lengths_U[capped_U].sum())
            weighted = float((self.weights_U * self.lengths_U)[free_U].sum())
            expected_U[free_U] = self.weights_U[free_U] * (max(left, 0.0) / weighted) if weighted else 0.0
            expected_U[capped_U] = self.max_repeats
            over_U = free_U & (expected_U > self.max_repeats)
            if not over_U.any():
                return expected_U
            capped_U |= over_U

    def rows(self, epoch: int) -> np.ndarray:
        """Return sorted row indices of one epoch; each row's expected count is rounded up or down at random.

        Source:
            Systematic resampling: Kitagawa 1996, "Monte Carlo filter and smoother for non-Gaussian nonlinear
            state space models", appendix; less noise than independent draws of the same expectation.
        """
        generator = np.random.default_rng((self.seed, STREAM, epoch))
        # In a random order, so that no two rows always come or stay away together.
        order = generator.permutation(len(self.expected_U))
        ends = np.floor(np.cumsum(self.expected_U[order]) + generator.random()).astype(np.int64)
        times = np.empty(len(order), dtype=np.int64)
        times[order] = np.diff(ends, prepend=0)
        return np.repeat(np.arange(len(order)), times)


def build_resampler(
    config: ResampleConfig,
    train: Sequences,
    categories: csr_matrix,
    seed: int,
    segments_U: np.ndarray | None = None,
) -> Resampler:
    """Build the sampler with the weights of the training rows.

    Args:
        config: options of the weights.
        train: U rows of training clicks.
        categories: (N, G) membership.
        seed: seed of the draws.
        segments_U: (U,) segment of each user, ``ABSENT`` for none.

    Raises:
        InputError: if a weight needs categories or segments and there are none.
    """
    counts_N = np.bincount(train.items, minlength=categories.shape[0]).astype(np.float64)
    weights_U = (train.lengths > 1).astype(np.float64)
    if config.category > 0:
        weights_U *= _mean_by_row(train, _category_weights(categories, counts_N, config.category))
    if config.popularity > 0:
        weights_U *= _mean_by_row(train, np.maximum(counts_N, 1.0) ** -config.popularity)
    if config.activity > 0:
        weights_U *= np.maximum(train.lengths, 1).astype(np.float64) ** -config.activity
    if config.segment > 0:
        weights_U *= _segment_weights(segments_U, config.segment)
    if not weights_U.any():
        raise InputError("augment.resample: no user has two training clicks and a weight; switch it off")
    return Resampler(weights_U, train.lengths, seed, config.max_repeats)


def _category_weights(categories: csr_matrix, counts_N: np.ndarray, power: float) -> np.ndarray:
    """Return (N,) mean over an item's categories of clicks ** -power; items without one make a category."""
    member_NG = categories > 0
    each_N = np.asarray(member_NG.sum(1), dtype=np.float64).ravel()
    if not each_N.any():
        raise InputError("augment.resample.category: no item of the catalogue has a category")
    clicks_G = np.asarray(member_NG.T @ counts_N, dtype=np.float64).ravel()
    known_N = member_NG @ (np.maximum(clicks_G, 1.0) ** -power) / np.maximum(each_N, 1.0)
    without = max(float(counts_N[each_N == 0].sum()), 1.0) ** -power
    return np.where(each_N > 0, known_N, without)


def _segment_weights(segments_U: np.ndarray | None, power: float) -> np.ndarray:
    if segments_U is None:
        raise InputError("augment.resample.segment needs user segments: give the section 'segments'")
    sizes = np.bincount(segments_U[segments_U != ABSENT], minlength=1).astype(np.float64)
    return np.where(segments_U == ABSENT, 0.0, np.maximum(sizes, 1.0)[segments_U] ** -power)


def _mean_by_row(train: Sequences, values_N: np.ndarray) -> np.ndarray:
    """Return (U,) mean over each row's clicks; 0 for an empty row."""
    row_T = train.row_of_click
    total_U = np.bincount(row_T, weights=values_N[train.items], minlength=len(train))
    return total_U / np.maximum(train.lengths, 1)
