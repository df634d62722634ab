"""The demo's tastes in the simulation are its generator's own."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.data.sources.demo.products import draw_products
from crossrec.data.sources.demo.shoppers import DAY, FIRST_SECOND, draw_tastes
from crossrec.data.sources.demo.source import DemoSource
from crossrec.data.sources.demo.truth import DemoTruth, Moments
from crossrec.simulation.config import EnvironmentConfig
from crossrec.simulation.environment import Environment
from crossrec.simulation.tastes import demo_tastes

CONFIG = DemoSource.Options(n_products=120, n_shoppers=15, days=90)


@pytest.fixture(scope="module")
def truth() -> DemoTruth:
    generator = np.random.default_rng(0)
    products = draw_products(CONFIG, generator)
    return DemoTruth.from_products(products, draw_tastes(CONFIG, generator), CONFIG.days)


def moments(truth: DemoTruth, last_item: int, *, bought: bool) -> Moments:
    """All shoppers on the last day of the log, a day after their last click."""
    n = len(truth.tastes)
    time = FIRST_SECOND + (truth.days - 1) * DAY
    return Moments(
        np.arange(n), np.full(n, time), np.full(n, last_item), np.full(n, time - DAY), np.full(n, bought)
    )


def test_utilities_are_the_logarithms_of_the_true_weights(truth: DemoTruth) -> None:
    model = demo_tastes(truth, np.arange(120), np.arange(15))
    utility = model.tastes_UD @ model.features_ND.T + model.offsets(0.0)
    weights = truth.click_weights(moments(truth, 0, bought=False))
    np.testing.assert_allclose(utility, np.log(weights), atol=2e-4)


def test_purchases_and_what_follows_them_are_the_truth(truth: DemoTruth) -> None:
    model = demo_tastes(truth, np.arange(120), np.arange(15))
    items = np.arange(15) * 7
    time = moments(truth, 0, bought=False).times
    affinity = np.einsum("ud,ud->u", model.tastes_UD, model.features_ND[items])
    bias, slope = model.purchase
    chance = 1 / (1 + np.exp(-(bias + slope * affinity)))
    np.testing.assert_allclose(chance, truth.purchase_probabilities(np.arange(15), time, items), rtol=1e-4)
    for item in range(0, 120, 11):
        with_it = truth.click_weights(moments(truth, item, bought=True))
        without = truth.click_weights(moments(truth, item, bought=False))
        category = model.categories_NG[item] @ model.after_purchase_GG
        expected = model.categories_NG @ category
        np.testing.assert_allclose(np.log(with_it / without)[0], expected, atol=1e-4)


def test_products_and_shoppers_keep_their_order(truth: DemoTruth) -> None:
    products, shoppers = np.asarray([5, 3, 100]), np.asarray([14, 2])
    model, whole = demo_tastes(truth, products, shoppers), demo_tastes(truth, np.arange(120), np.arange(15))
    np.testing.assert_array_equal(model.features_ND, whole.features_ND[products])
    np.testing.assert_array_equal(model.tastes_UD, whole.tastes_UD[shoppers])
    np.testing.assert_array_equal(whole.take(shoppers).tastes_UD, model.tastes_UD)


def test_new_products_lose_their_novelty(truth: DemoTruth) -> None:
    model = demo_tastes(truth, np.arange(120), np.arange(15))
    new = (truth.days - 1 - truth.launch_day < 30) & (truth.launch_day > 0)
    assert new.any()
    np.testing.assert_allclose((model.offsets(0.0) - truth.popularity)[new], 1.0)
    np.testing.assert_allclose(model.offsets(40.0), truth.popularity)


def test_shoppers_click_what_their_tastes_rank_first(truth: DemoTruth) -> None:
    model = demo_tastes(truth, np.arange(120), np.arange(15))
    order = np.argsort(-(model.tastes_UD @ model.features_ND.T + model.offsets(0.0)), axis=1)
    still = EnvironmentConfig.model_validate({"visit": {"rate": 1}})
    best = Environment(model, still, 0).answer(np.arange(15), order[:, :5])
    worst = Environment(model, still, 0).answer(np.arange(15), order[:, -5:])
    assert best.clicked_BK.sum() > 5 * max(worst.clicked_BK.sum(), 1)
