"""The click model behind the storefront, with its true parameters.

A shopper who visits at time t clicks product i with probability

    P(i) = exp(u_i) / sum_j exp(u_j),   u_i = taste(t) . attributes_i + popularity_i + novelty_i(t) + boost_i

over all products launched by t that the shopper has not clicked yet: a multinomial logit (McFadden,
"Conditional logit analysis of qualitative choice behavior", 1974). The boost depends on the last
click: after a purchase the complement of its category is raised and the category itself lowered;
after a click in the same session the category is raised. Nothing here may reach a model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from crossrec.data.sources.demo.products import Products
from crossrec.data.sources.demo.shoppers import DAY, EPOCH_DAYS, FIRST_SECOND, Visits
from crossrec.data.sources.demo.vocabulary import LEVELS, complements

COMPLEMENT_BOOST = 3.0

BOUGHT_CATEGORY_BOOST = -1.5

BROWSING_BOOST = 1.0

SESSION_SECONDS = 3600

NOVELTY_BOOST = 1.0

NOVELTY_DAYS = 30

PURCHASE_BIAS, PURCHASE_SLOPE = -3.8, 0.3

NO_CLICK = -1

COMBINED = (("category", "price"), ("colour", "pattern"), ("material", "occasion"))
"""Attributes whose tastes are tabulated together: one look-up per product instead of two."""


@dataclass(frozen=True)
class Moments:
    """B moments at which a shopper is about to click.

    Args:
        shoppers: (B,) shopper indices.
        times: (B,) int64 seconds since 1970.
        last_item: (B,) the product clicked before, ``NO_CLICK`` (-1) for none.
        last_time: (B,) int64 its time; ignored where there is none.
        last_bought: (B,) bool, whether it was bought.
    """

    shoppers: np.ndarray
    times: np.ndarray
    last_item: np.ndarray
    last_time: np.ndarray
    last_bought: np.ndarray


@dataclass(frozen=True)
class DemoTruth:
    """True parameters of a storefront.

    Args:
        levels: (N,) int64 level of each attribute, keyed as in ``vocabulary.LEVELS``.
        popularity: (N,) float64 utility that all shoppers share.
        launch_day: (N,) int64 first day of a product, 0 = the first day of the log.
        tastes: (U, E, D) float32 utilities of the levels; epochs of ``EPOCH_DAYS`` days.
        days: length of the log.
    """

    levels: dict[str, np.ndarray]
    popularity: np.ndarray
    launch_day: np.ndarray
    tastes: np.ndarray
    days: int

    @classmethod
    def from_products(cls, products: Products, tastes: np.ndarray, days: int) -> DemoTruth:
        """Return the truth of products and tastes just drawn."""
        return cls(products.levels, products.popularity, products.launch_day, tastes, days)

    @classmethod
    def load(cls, folder: Path) -> DemoTruth:
        """Read the truth of the storefront in ``folder`` (``DemoSource.Options.folder``)."""
        truth = folder / "truth"
        levels = {name: np.load(truth / f"{name}.npy") for name in LEVELS}
        days = json.loads((truth / "truth.json").read_text(encoding="utf-8"))["days"]
        popularity, launch_day, tastes = (
            np.load(truth / f"{name}.npy") for name in ("popularity", "launch_day", "tastes")
        )
        return cls(levels, popularity, launch_day, tastes, days)

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file per array below ``folder/truth``."""
        truth = folder / "truth"
        truth.mkdir(parents=True)
        for name, values in self.levels.items():
            np.save(truth / f"{name}.npy", values)
        for name in ("popularity", "launch_day", "tastes"):
            np.save(truth / f"{name}.npy", getattr(self, name))
        (truth / "truth.json").write_text(json.dumps({"days": self.days}), encoding="utf-8")

    @property
    def n_products(self) -> int:
        """N, number of products."""
        return len(self.popularity)

    def without(self, *attributes: str) -> DemoTruth:
        """Return the same shoppers with no taste for some attributes: what is known without seeing these."""
        tastes = self.tastes.copy()
        for name in attributes:
            tastes[:, :, self._columns[name]] = 0
        return DemoTruth(self.levels, self.popularity, self.launch_day, tastes, self.days)

    def affinity(self, shoppers: np.ndarray, times: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return (B,) taste . attributes of one product for each moment, in units of utility."""
        tastes_BD = self._tastes_at(shoppers, times)
        rows = np.arange(len(items))
        return sum(
            tastes_BD[rows, self._columns[name].start + self.levels[name][items]].astype(np.float64)
            for name in LEVELS
        )

    def purchase_probabilities(
        self, shoppers: np.ndarray, times: np.ndarray, items: np.ndarray
    ) -> np.ndarray:
        """Return (B,) probability that a click is a purchase: logistic in the affinity."""
        logit = PURCHASE_BIAS + PURCHASE_SLOPE * self.affinity(shoppers, times, items)
        return 1 / (1 + np.exp(-logit))

    def click_weights(self, moments: Moments) -> np.ndarray:
        """Return (B, N) float32 exp(utility), 0 before launch; products already clicked are NOT removed."""
        day = (np.asarray(moments.times) - FIRST_SECOND) // DAY
        weights_BN = np.take(self._base_by_day, np.clip(day, 0, self.days - 1), axis=0)
        # In float64 before rounding: then the last bit does not depend on the processor's exp.
        tastes_BD = np.exp(self._tastes_at(moments.shoppers, moments.times).astype(np.float64))
        tables = {name: tastes_BD[:, columns] for name, columns in self._columns.items()}
        tables["category"] = tables["category"] * self._category_boost(moments)
        for (first, second), key in zip(COMBINED, self._combined, strict=True):
            table = tables[first][:, :, None] * tables[second][:, None, :]
            weights_BN *= np.take(table.reshape(len(table), -1).astype(np.float32), key, axis=1)
        return weights_BN

    def click_probabilities(
        self, shopper: int, time: float, items: np.ndarray, times: np.ndarray, bought: np.ndarray
    ) -> np.ndarray:
        """Return the generator's probability that a shopper who clicks now clicks each product.

        Args:
            shopper: shopper index.
            time: seconds since 1970.
            items: (L,) products the shopper clicked before, oldest first; may be empty.
            times: (L,) seconds of these clicks.
            bought: (L,) bool, whether each was a purchase.

        Returns:
            (N,) float64, sums to 1; 0 for clicked products and those not launched yet.
        """
        last = len(items) - 1
        moments = Moments(
            shoppers=np.asarray([shopper]),
            times=np.asarray([time]).astype(np.int64),
            last_item=np.asarray([items[last] if last >= 0 else NO_CLICK]),
            last_time=np.asarray([times[last] if last >= 0 else 0]).astype(np.int64),
            last_bought=np.asarray([bool(bought[last]) if last >= 0 else False]),
        )
        weights_N = self.click_weights(moments)[0].astype(np.float64)
        weights_N[items] = 0
        return weights_N / weights_N.sum()

    @cached_property
    def _columns(self) -> dict[str, slice]:
        ends = np.cumsum(list(LEVELS.values())).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(LEVELS.items(), ends, strict=True)}

    @cached_property
    def _combined(self) -> list[np.ndarray]:
        return [self.levels[a] * LEVELS[b] + self.levels[b] for a, b in COMBINED]

    @cached_property
    def _base_by_day(self) -> np.ndarray:
        """(days, N) float32 exp(popularity + novelty), 0 before launch."""
        age = np.arange(self.days)[:, None] - self.launch_day
        novel = (age < NOVELTY_DAYS) & (self.launch_day > 0)
        utility = self.popularity + NOVELTY_BOOST * novel
        return np.where(age >= 0, np.exp(utility), 0).astype(np.float32)

    def _tastes_at(self, shoppers: np.ndarray, times: np.ndarray) -> np.ndarray:
        epoch = (np.asarray(times) - FIRST_SECOND) // (DAY * EPOCH_DAYS)
        return self.tastes[shoppers, np.clip(epoch, 0, self.tastes.shape[1] - 1)]

    def _category_boost(self, moments: Moments) -> np.ndarray:
        """Return (B, C) exp(boost) of each category after the last click."""
        boost_BC = np.zeros((len(moments.shoppers), LEVELS["category"]))
        rows = np.arange(len(boost_BC))
        known = moments.last_item != NO_CLICK
        category = self.levels["category"][np.where(known, moments.last_item, 0)]
        bought = known & moments.last_bought
        browsing = known & ~moments.last_bought & (moments.times - moments.last_time < SESSION_SECONDS)
        complement = np.asarray(complements())[category]
        raised = bought & (complement >= 0)
        boost_BC[rows[bought], category[bought]] += BOUGHT_CATEGORY_BOOST
        boost_BC[rows[raised], complement[raised]] += COMPLEMENT_BOOST
        boost_BC[rows[browsing], category[browsing]] += BROWSING_BOOST
        return np.exp(boost_BC)


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
    """Sample every click from the truth by inverting its cumulative weights.

    Returns:
        One click per visit time; a shopper never clicks a product twice.
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
