"""The click model of the generated storefront against its own truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec.data.sources.demo import truth as model
from crossrec.data.sources.demo.products import Products, draw_products
from crossrec.data.sources.demo.shoppers import DAY, EPOCH_DAYS, FIRST_SECOND, draw_tastes, draw_visits
from crossrec.data.sources.demo.source import DemoSource, draw_new_products, truth_with_new_products
from crossrec.data.sources.demo.truth import NO_CLICK, DemoTruth, Moments, SimulatedClicks, simulate
from crossrec.data.sources.demo.vocabulary import CATEGORIES, LEVELS, complements


class World:
    """Tastes, visits and clicks without texts and pictures, large enough to count things in."""

    def __init__(self) -> None:
        config = DemoSource.Options(n_products=400, n_shoppers=1200)
        self.products: Products = draw_products(config, np.random.default_rng(0))
        tastes = draw_tastes(config, np.random.default_rng(1))
        self.truth = DemoTruth.from_products(self.products, tastes, config.days)
        self.visits = draw_visits(config, np.random.default_rng(2))
        self.clicks: SimulatedClicks = simulate(self.truth, self.visits, np.random.default_rng(3))
        self.shopper = np.repeat(np.arange(config.n_shoppers), np.diff(self.visits.offsets))
        self.opens = np.concatenate([[True], self.shopper[1:] != self.shopper[:-1]])
        self.elapsed = (self.visits.times - FIRST_SECOND) / (DAY * config.days)
        self.category = self.products.levels["category"][self.clicks.items]

    def probabilities(self, positions: np.ndarray) -> np.ndarray:
        """(B, N) true probabilities of the clicks at these positions, from the whole batch at once."""
        opens, last = self.opens[positions], np.maximum(positions - 1, 0)
        weights = self.truth.click_weights(
            Moments(
                shoppers=self.shopper[positions],
                times=self.visits.times[positions],
                last_item=np.where(opens, NO_CLICK, self.clicks.items[last]),
                last_time=self.visits.times[last],
                last_bought=self.clicks.bought[last] & ~opens,
            )
        ).astype(np.float64)
        for row, position in enumerate(positions):
            weights[row, self.clicks.items[self.visits.offsets[self.shopper[position]] : position]] = 0
        return weights / weights.sum(1, keepdims=True)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_one_product_in_twenty_is_clicked_in_the_last_tenth_only(world: World) -> None:
    early = np.bincount(world.clicks.items[world.elapsed < 0.9], minlength=400)
    late = np.bincount(world.clicks.items[world.elapsed >= 0.9], minlength=400)
    cold = early == 0
    assert 0.045 <= cold.mean() <= 0.06
    assert (late[cold] > 0).mean() > 0.9
    assert late[cold].sum() > 200


def test_popularity_is_skewed(world: World) -> None:
    counts = np.sort(np.bincount(world.clicks.items, minlength=400)).astype(float)
    rank = np.arange(1, 401)
    gini = ((2 * rank - 401) * counts).sum() / (400 * counts.sum())
    assert 0.3 < gini < 0.7


def test_a_purchase_leads_to_its_complement(world: World) -> None:
    complement = np.asarray(complements())[world.category]
    before = np.flatnonzero(~world.opens) - 1
    before = before[complement[before] >= 0]
    followed = world.category[before + 1] == complement[before]
    bought = world.clicks.bought[before]
    assert followed[bought].mean() > 3 * followed[~bought].mean()


def test_probabilities_of_the_stored_truth_sum_to_one_over_what_can_be_clicked(
    world: World, tmp_path: Path
) -> None:
    world.truth.save(tmp_path)
    truth = DemoTruth.load(tmp_path)
    seen = np.asarray([3, 5, 8])
    times = FIRST_SECOND + DAY * np.asarray([10, 20, 30])
    now = FIRST_SECOND + 200 * DAY
    p = truth.click_probabilities(7, now, seen, times, np.asarray([False, True, False]))
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert (p[seen] == 0).all()
    np.testing.assert_array_equal(np.delete(p, seen) > 0, np.delete(truth.launch_day <= 200, seen))


def test_one_history_gives_the_probabilities_that_the_formula_gives(world: World) -> None:
    """A plain-Python oracle of the multinomial logit in the docstring of ``truth``."""

    truth = world.truth
    coffee = [c.name for c in CATEGORIES].index("coffee maker")
    last = int(np.flatnonzero(truth.levels["category"] == coffee)[0])
    day, shopper = 340, 11
    taste = truth.tastes[shopper, day // EPOCH_DAYS].astype(float)
    weights = []
    for i in range(truth.n_products):
        start, utility = 0, float(truth.popularity[i])
        for name, count in LEVELS.items():
            utility += taste[start + truth.levels[name][i]]
            start += count
        age = day - truth.launch_day[i]
        utility += model.NOVELTY_BOOST if truth.launch_day[i] > 0 and age < model.NOVELTY_DAYS else 0
        name = CATEGORIES[truth.levels["category"][i]].name
        utility += {"mug": model.COMPLEMENT_BOOST, "coffee maker": model.BOUGHT_CATEGORY_BOOST}.get(name, 0)
        weights.append(0.0 if age < 0 or i == last else np.exp(utility))
    moment = FIRST_SECOND + day * DAY + 7 * 3600
    got = truth.click_probabilities(
        shopper, moment, np.asarray([last]), np.asarray([moment - 60]), np.asarray([True])
    )
    np.testing.assert_allclose(got, np.asarray(weights) / sum(weights), rtol=1e-5)


def test_single_and_batched_probabilities_agree(world: World) -> None:
    positions = np.asarray([0, 40, 41, 500])
    batched = world.probabilities(positions)
    for row, position in enumerate(positions):
        shopper = world.shopper[position]
        past = slice(world.visits.offsets[shopper], position)
        single = world.truth.click_probabilities(
            int(shopper),
            float(world.visits.times[position]),
            world.clicks.items[past],
            world.visits.times[past],
            world.clicks.bought[past],
        )
        np.testing.assert_allclose(single, batched[row], rtol=1e-6)


def test_simulated_clicks_follow_the_true_probabilities(world: World) -> None:
    positions = np.sort(np.random.default_rng(4).choice(len(world.shopper), 6000, replace=False))
    p = world.probabilities(positions)
    log_p = np.log(np.where(p > 0, p, 1))
    entropy, variance = -(p * log_p).sum(1), (p * log_p**2).sum(1) - (p * log_p).sum(1) ** 2
    clicked = world.clicks.items[positions]
    surprise = -log_p[np.arange(len(p)), clicked]
    assert (p[np.arange(len(p)), clicked] > 0).all()
    # Mean surprise of a calibrated model is its entropy; 4 standard errors.
    assert abs(surprise.mean() - entropy.mean()) < 4 * np.sqrt(variance.sum()) / len(p)
    for name, level in world.products.levels.items():
        groups = np.eye(level.max() + 1)[level]
        expected, found = p @ groups, groups[clicked]
        z = (found - expected).sum(0) / np.sqrt((expected * (1 - expected)).sum(0) + 1e-9)
        assert np.abs(z).max() < 4.5, f"{name}: {z}"


def test_purchases_follow_their_probabilities(world: World) -> None:
    p = world.truth.purchase_probabilities(world.shopper, world.visits.times, world.clicks.items)
    z = (world.clicks.bought - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 4
    assert 0.1 < p.mean() < 0.3


def test_what_only_the_picture_or_only_the_text_shows_decides_clicks(world: World) -> None:
    positions = np.flatnonzero((world.elapsed > 0.5) & ~world.opens)[:1500]
    clicked = world.clicks.items[positions]

    def recall(truth: DemoTruth) -> float:
        full, world.truth = world.truth, truth
        try:
            p = world.probabilities(positions)
        finally:
            world.truth = full
        return float(((p > p[np.arange(len(p)), clicked][:, None]).sum(1) < 10).mean())

    oracle = recall(world.truth)
    blind, textless = (
        recall(world.truth.without(*names)) for names in (("colour", "pattern"), ("material", "occasion"))
    )
    counts = np.bincount(world.clicks.items, minlength=400)
    popular = float(((counts > counts[clicked][:, None]).sum(1) < 10).mean())
    assert oracle > 3 * popular
    assert blind < 0.75 * oracle
    assert textless < 0.75 * oracle


def test_new_products_follow_those_of_the_catalogue_in_its_truth(world: World) -> None:
    products, rows = draw_new_products(60, image_size=32, seed=7)
    assert [row["item_id"] for row in rows] == [f"NEW{number:03d}" for number in range(60)]
    assert all(row["title"] and row["text"] and row["image"] for row in rows)
    known = np.asarray([5, 3, 390])
    extended = truth_with_new_products(world.truth, known, products)
    assert extended.n_products == 63
    shoppers, times = np.arange(63), np.full(63, world.visits.times.max())
    found = extended.affinity(shoppers, times, np.arange(63))
    np.testing.assert_array_equal(found[:3], world.truth.affinity(shoppers[:3], times[:3], known))
    alone = DemoTruth.from_products(products, world.truth.tastes, world.truth.days)
    np.testing.assert_array_equal(found[3:], alone.affinity(shoppers[3:], times[3:], np.arange(60)))
    nothing = np.zeros(0, np.int64)
    chances = extended.click_probabilities(0, float(times[0]), nothing, nothing, nothing.astype(bool))
    assert (chances[:3] > 0).all()
    assert (chances[3:] == 0).all(), "not one was for sale while the log was written"
