"""Hidden tastes of simulated users, and those of the demo storefront."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crossrec.data.sources.demo.source import DemoSource, ensure, item_id, shopper_id
from crossrec.data.sources.demo.truth import (
    BOUGHT_CATEGORY_BOOST,
    COMPLEMENT_BOOST,
    NOVELTY_BOOST,
    NOVELTY_DAYS,
    PURCHASE_BIAS,
    PURCHASE_SLOPE,
    DemoTruth,
)
from crossrec.data.sources.demo.vocabulary import LEVELS, complements
from crossrec.types import InputError

ROWS = 512
"""Number of users whose utilities of all items are in memory at once."""


@dataclass(frozen=True)
class Novelty:
    """Additional utility of new items.

    Args:
        boost: additional utility.
        until_N: (N,) days, counted from the start of the simulation, until which each item is new.
    """

    boost: float
    until_N: np.ndarray


@dataclass(frozen=True)
class TasteModel:
    """Utilities u_ui = taste_u . features_i + offset_i of U users and N items.

    Args:
        tastes_UD: (U, D) float32 tastes at the start.
        features_ND: (N, D) float32 item features.
        offset_N: (N,) float64 utility common to all users.
        categories_NG: (N, G) float32, each row sums to 1, or to 0 for an item without a category.
        after_purchase_GG: (G, G) utility that a purchase in a category adds to others at the next visit.
        purchase: bias and slope of the probability that a click is a purchase.
        note: one line on the origin of the tastes, included in every output.
        novelty: attraction of new items; None for none.
        drift_scale_D: (D,) standard deviation of tastes over users, the scale of drift.
    """

    tastes_UD: np.ndarray
    features_ND: np.ndarray
    offset_N: np.ndarray
    categories_NG: np.ndarray
    after_purchase_GG: np.ndarray
    purchase: tuple[float, float]
    note: str
    novelty: Novelty | None = None
    drift_scale_D: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Check shapes, and use the spread of tastes as the scale of drift where none is given."""
        n_users, width = self.tastes_UD.shape
        n_items, n_categories = self.categories_NG.shape
        if self.features_ND.shape != (n_items, width) or self.offset_N.shape != (n_items,):
            raise ValueError(f"{n_items} items of width {width}, but features are {self.features_ND.shape}")
        if self.after_purchase_GG.shape != (n_categories, n_categories):
            raise ValueError(f"{n_categories} categories, but {self.after_purchase_GG.shape} after purchases")
        if not len(self.drift_scale_D):
            scale = self.tastes_UD.std(0) if n_users > 1 else np.zeros(width)
            object.__setattr__(self, "drift_scale_D", scale)

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.tastes_UD)

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.features_ND)

    def offsets(self, day: float) -> np.ndarray:
        """Return (N,) utility common to all users on a day of the simulation."""
        if self.novelty is None:
            return self.offset_N
        return self.offset_N + self.novelty.boost * (day < self.novelty.until_N)

    def outside(self, appealing: float) -> np.ndarray:
        """Return (U,) utility threshold of the best share ``appealing`` of the catalogue at the start."""
        place = min(int(np.ceil(appealing * self.n_items)), self.n_items) - 1
        offset_N = self.offsets(0.0).astype(np.float32)
        found = np.empty(self.n_users)
        for start in range(0, self.n_users, ROWS):
            utility_BN = self.tastes_UD[start : start + ROWS] @ self.features_ND.T + offset_N
            best_BN = -np.partition(-utility_BN, place, axis=1)
            found[start : start + ROWS] = best_BN[:, place]
        return found

    def take(self, users: np.ndarray) -> TasteModel:
        """Return the same items and some of the users, with the scale of drift of all."""
        return TasteModel(
            self.tastes_UD[users],
            self.features_ND,
            self.offset_N,
            self.categories_NG,
            self.after_purchase_GG,
            self.purchase,
            self.note,
            self.novelty,
            self.drift_scale_D,
        )


def spread_evenly(member_NG: np.ndarray) -> np.ndarray:
    """Return (N, G) float32 membership divided by the number of an item's categories."""
    member_NG = np.asarray(member_NG, np.float32)
    size_N1 = member_NG.sum(1, keepdims=True)
    return np.divide(member_NG, size_N1, out=np.zeros_like(member_NG), where=size_N1 > 0)


NOTE = "simulated shoppers of a generated storefront, with its true tastes at the end of the log"


def demo_tastes(truth: DemoTruth, products: np.ndarray, shoppers: np.ndarray) -> TasteModel:
    """Return the true click model on the last day of the log: exp(u) is ``truth.click_weights``.

    The truth's effect of purchases is kept; its effect within an hour after a click is not, since visits are
    further apart. Drift is that of the configuration, not the generator's.

    Args:
        truth: truth of the storefront.
        products: (N,) numbers of the products, in the order of the catalogue.
        shoppers: (U,) numbers of the shoppers.
    """
    one_hot = [np.eye(size, dtype=np.float32)[truth.levels[name][products]] for name, size in LEVELS.items()]
    launch_N = truth.launch_day[products]
    last = truth.days - 1
    after = np.zeros((LEVELS["category"], LEVELS["category"]))
    np.fill_diagonal(after, BOUGHT_CATEGORY_BOOST)
    for category, complement in enumerate(complements()):
        if complement >= 0:
            after[category, complement] += COMPLEMENT_BOOST
    until_N = np.where(launch_N > 0, launch_N + NOVELTY_DAYS - last, 0)
    return TasteModel(
        tastes_UD=truth.tastes[shoppers, -1],
        features_ND=np.concatenate(one_hot, axis=1),
        offset_N=truth.popularity[products],
        categories_NG=one_hot[list(LEVELS).index("category")],
        after_purchase_GG=after,
        purchase=(PURCHASE_BIAS, PURCHASE_SLOPE),
        note=NOTE,
        novelty=Novelty(NOVELTY_BOOST, until_N),
        drift_scale_D=truth.tastes[:, -1].std(0),
    )


def load_demo_tastes(
    config: DemoSource.Options, cache_dir: Path, item_ids: np.ndarray, user_ids: np.ndarray
) -> TasteModel:
    """Return the tastes of a prepared demo, in the order of its catalogue and users.

    Args:
        config: configuration of the storefront.
        cache_dir: folder of generated data.
        item_ids: (N,) original ids.
        user_ids: (U,) original ids.

    Raises:
        InputError: if the storefront lacks an id.
    """
    truth = DemoTruth.load(ensure(config, config.folder(cache_dir)))
    products = _numbers(item_ids, {item_id(i): i for i in range(truth.n_products)})
    shoppers = _numbers(user_ids, {shopper_id(u): u for u in range(len(truth.tastes))})
    return demo_tastes(truth, products, shoppers)


def _numbers(ids: np.ndarray, number_of: dict[str, int]) -> np.ndarray:
    try:
        return np.asarray([number_of[str(name)] for name in ids], dtype=np.int64)
    except KeyError as error:
        raise InputError(f"the storefront has no {error}: these data are not the demo's") from error
