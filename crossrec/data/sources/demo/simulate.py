"""Lets the shoppers click: samples the click model, one click of every shopper at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.data.sources.demo.shoppers import Visits
from crossrec.data.sources.demo.truth import NO_CLICK, DemoTruth, Moments

CHUNK = 256
"""Shoppers handled together, so that their (CHUNK, N) weights stay in the processor's cache."""


@dataclass(frozen=True)
class SimulatedClicks:
    """Clicks of all shoppers, at the offsets of their ``Visits``.

    Args:
        items: (T,) int64 products.
        bought: (T,) bool.
    """

    items: np.ndarray
    bought: np.ndarray


def simulate(truth: DemoTruth, visits: Visits, rng: np.random.Generator) -> SimulatedClicks:
    """Samples every click from the truth by inverting its cumulative weights.

    Returns:
        One click a visit time; a shopper never clicks a product twice.
    """
    n_clicks = len(visits.times)
    clicks = SimulatedClicks(np.empty(n_clicks, np.int64), np.zeros(n_clicks, dtype=bool))
    choice, purchase = rng.random((2, n_clicks))
    counts = np.diff(visits.offsets)
    for start in range(0, len(counts), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(counts)))
        unseen = np.ones((len(rows), truth.n_products), dtype=bool)
        for step in range(counts[rows].max()):
            active = counts[rows] > step
            shoppers = rows[active]
            here = visits.offsets[shoppers] + step
            moments = _moments(visits, clicks, shoppers, here, step)
            weights = truth.click_weights(moments) * unseen[active]
            items = _sample(weights, choice[here])
            unseen[np.flatnonzero(active), items] = False
            clicks.items[here] = items
            probability = truth.purchase_probabilities(shoppers, visits.times[here], items)
            clicks.bought[here] = purchase[here] < probability
    return clicks


def _moments(
    visits: Visits, clicks: SimulatedClicks, shoppers: np.ndarray, here: np.ndarray, step: int
) -> Moments:
    if step == 0:
        none = np.full(len(shoppers), NO_CLICK)
        return Moments(shoppers, visits.times[here], none, none, np.zeros(len(shoppers), dtype=bool))
    last = here - 1
    return Moments(shoppers, visits.times[here], clicks.items[last], visits.times[last], clicks.bought[last])


def _sample(weights_BN: np.ndarray, uniform_B: np.ndarray) -> np.ndarray:
    cumulative = np.cumsum(weights_BN, axis=1)
    total = cumulative[:, -1]
    target = np.minimum((uniform_B * total).astype(np.float32), np.nextafter(total, np.float32(0)))
    return (cumulative <= target[:, None]).sum(axis=1)
