"""Shoppers: tastes, their drift, and visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.data.sources.demo.products import StorefrontOptions
from crossrec.data.sources.demo.vocabulary import LEVELS

TASTE_SCALE = {
    "category": 1.1,
    "price": 0.5,
    "colour": 1.9,
    "pattern": 1.5,
    "material": 2.0,
    "occasion": 1.9,
}
"""Standard deviation over shoppers of the taste for one level, in units of utility."""

N_STYLES = 16
STYLE_SHARE = 0.25
DRIFT_SHARE = 0.2
DRIFT_MEMORY = 0.8
CHANGE_PROBABILITY = 0.03
EPOCH_DAYS = 30

MIN_CLICKS, MAX_CLICKS = 4, 120
CLICKS_PER_SESSION = 3.0
SECONDS_BETWEEN_CLICKS = 75.0
DAY = 86_400
FIRST_SECOND = 1_735_689_600
"""1 January 2025, 00:00 UTC."""


@dataclass(frozen=True)
class Visits:
    """Click times of the shoppers.

    Args:
        offsets: (U + 1,) int64, clicks of shopper u stand at ``offsets[u]:offsets[u + 1]``.
        times: (T,) int64 seconds since 1970, growing within a shopper.
    """

    offsets: np.ndarray
    times: np.ndarray


def draw_tastes(options: StorefrontOptions, rng: np.random.Generator) -> np.ndarray:
    """Taste vectors of all shoppers over time.

    A taste is a style that many shoppers share, plus a personal part, plus an AR(1) drift; now and
    then a shopper's interest in categories and occasions changes altogether.

    Returns:
        (U, E, D) float32 utilities: E epochs of ``EPOCH_DAYS`` days, D = levels of all attributes.
    """
    n, width = options.n_shoppers, sum(LEVELS.values())
    n_epochs = -(-options.days // EPOCH_DAYS)
    styles = rng.standard_normal((N_STYLES, width))[rng.integers(N_STYLES, size=n)]
    changing = np.repeat([name in ("category", "occasion") for name in LEVELS], list(LEVELS.values()))
    personal, drift = rng.standard_normal((2, n, width))
    tastes = np.empty((n, n_epochs, width))
    for epoch in range(n_epochs):
        if epoch > 0:
            step = rng.standard_normal((n, width))
            drift = DRIFT_MEMORY * drift + np.sqrt(1 - DRIFT_MEMORY**2) * step
            changed = (rng.random(n) < CHANGE_PROBABILITY)[:, None] & changing
            personal = np.where(changed, rng.standard_normal((n, width)), personal)
        own = np.sqrt(1 - STYLE_SHARE - DRIFT_SHARE)
        tastes[:, epoch] = np.sqrt(STYLE_SHARE) * styles + own * personal + np.sqrt(DRIFT_SHARE) * drift
    scale = np.repeat([TASTE_SCALE[name] for name in LEVELS], list(LEVELS.values()))
    return (tastes * scale).astype(np.float32)


def draw_visits(options: StorefrontOptions, rng: np.random.Generator) -> Visits:
    """Click times in sessions; half of the shoppers are there all the time, half for a part of it."""
    n = options.n_shoppers
    length = np.where(rng.random(n) < 0.5, 1.0, rng.uniform(0.15, 0.6, n))
    # A part may begin before the log and end after it, which keeps activity even over the log.
    start = np.where(length < 1, rng.uniform(-length, 1.0), 0.0)
    begin, end = np.clip(start, 0, 0.995), np.clip(start + length, 0.005, 1)
    activity = np.clip(np.exp(0.6 * rng.standard_normal(n)), 0.2, 4.0) * np.sqrt(end - begin)
    wanted = options.clicks_per_shopper * activity / activity.mean()
    counts = np.clip(np.rint(wanted), MIN_CLICKS, min(MAX_CLICKS, options.n_products // 4)).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Visits(offsets, _times(options, counts, begin, end, rng))


def _times(
    options: StorefrontOptions,
    counts: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    shopper = np.repeat(np.arange(len(counts)), counts)
    first = np.concatenate([[True], shopper[1:] != shopper[:-1]])
    opens = first | (rng.random(len(shopper)) < 1 / CLICKS_PER_SESSION)
    session = np.cumsum(opens) - 1
    owner = shopper[opens]
    day = np.floor(options.days * rng.uniform(begin[owner], end[owner])).astype(np.int64)
    hour = np.clip(rng.normal(rng.choice([12.5, 20.0], len(owner), p=[0.35, 0.65]), 1.8), 6.0, 23.0)
    session_start = day * DAY + (3600 * hour).astype(np.int64)
    gap = 5 + rng.exponential(SECONDS_BETWEEN_CLICKS, len(shopper)).astype(np.int64)
    elapsed = np.cumsum(np.where(opens, 0, gap))
    elapsed -= elapsed[opens][session]
    times = session_start[session] + np.minimum(elapsed, 3000)
    times = times[np.lexsort((times, shopper))]
    # Two clicks of a shopper never share a second: their order would be lost.
    rank = np.arange(len(times)) - np.repeat(np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    stretched = times - rank + shopper * (2 * options.days * DAY)
    times = np.maximum.accumulate(stretched) - shopper * (2 * options.days * DAY) + rank
    return FIRST_SECOND + times
