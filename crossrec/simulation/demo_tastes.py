"""The demo storefront's hidden tastes, as its generator knows them at the end of its log."""

from __future__ import annotations

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
from crossrec.simulation.tastes import Novelty, TasteModel
from crossrec.types import InputError

NOTE = "simulated shoppers of a generated storefront, with its true tastes at the end of the log"


def demo_tastes(truth: DemoTruth, products: np.ndarray, shoppers: np.ndarray) -> TasteModel:
    """The true click model on the last day of the log: exp(u) is ``truth.click_weights``.

    What the truth adds after a purchase is kept; what it adds within an hour after a click is not, for visits
    are further apart. Drift goes on as configured, not as the generator would.

    Args:
        truth: of the storefront.
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
    """The tastes of a prepared demo, in the order of its catalogue and users.

    Args:
        config: of the storefront.
        cache_dir: where it is kept.
        item_ids: (N,) original ids.
        user_ids: (U,) original ids.

    Raises:
        InputError: an id that the storefront has not.
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
