"""Off-policy estimates recover true values within their intervals, and warn where they can't."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crossrec.exploration.off_policy import (
    LoggedLists,
    PolicyValue,
    Settings,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)
from crossrec.types import InputError

ARMS, CONTEXTS, K = 6, 4, 3
LOOKS = np.asarray([1.0, 0.6, 0.4])


class World:
    """Contexts, arms with known click chances, a random logging policy and another one to be judged.

    At each place an arm is drawn by itself, so that the chances of places are known exactly.
    """

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.click_XA = generator.uniform(0.05, 0.6, (CONTEXTS, ARMS))
        self.logging_XA = generator.dirichlet(np.full(ARMS, 3.0), CONTEXTS)
        self.target_XA = generator.dirichlet(np.full(ARMS, 0.8), CONTEXTS)

    def value(self, k: int) -> float:
        """Expected clicks of one list under the target policy; contexts are equally likely."""
        return float((self.target_XA * self.click_XA).sum(1).mean() * LOOKS[:k].sum())

    def log(self, n: int, k: int, seed: int) -> tuple[LoggedLists, np.ndarray, np.ndarray, np.ndarray]:
        """The log, target chances, a rough model's predictions and its expectation of the target policy."""
        generator = np.random.default_rng(seed)
        context = generator.integers(CONTEXTS, size=n)
        above = self.logging_XA.cumsum(1)[context][:, None, :] < generator.random((n, k))[:, :, None]
        arms = above.sum(2).clip(max=ARMS - 1)
        chance = self.click_XA[context[:, None], arms] * LOOKS[:k]
        rewards = (generator.random((n, k)) < chance).astype(float)
        rough_XA = 0.7 * self.click_XA + 0.1
        predicted = rough_XA[context[:, None], arms] * LOOKS[:k]
        expected = ((self.target_XA * rough_XA).sum(1) * LOOKS[:k].sum())[context]
        logged = LoggedLists(rewards, self.logging_XA[context[:, None], arms])
        return logged, self.target_XA[context[:, None], arms], predicted, expected


def estimate(name: str, log: tuple[Any, ...], settings: Settings) -> PolicyValue:
    logged, target, predicted, expected = log
    if name == "ips":
        return inverse_propensity(logged, target, settings)
    if name == "snips":
        return self_normalised(logged, target, settings)
    return doubly_robust(logged, target, predicted, expected, settings)


@pytest.mark.parametrize("interval", ["asymptotic", "bootstrap"])
@pytest.mark.parametrize("k", [1, K])
@pytest.mark.parametrize("name", ["ips", "snips", "dr"])
def test_intervals_hold_the_true_value_as_often_as_they_say(name: str, k: int, interval: Any) -> None:
    world, repeats = World(), 300 if interval == "asymptotic" else 100
    settings = Settings(interval=interval, resamples=96)
    found = [estimate(name, world.log(500, k, seed), settings) for seed in range(repeats)]
    truth = world.value(k)
    covered = np.mean([e.ci95[0] <= truth <= e.ci95[1] for e in found])
    # Standard errors of this share: 1.3 points with 300 repeats, 2.2 with 100.
    assert 0.88 <= covered <= 0.995
    values = np.asarray([e.value for e in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(repeats) + (
        0.004 if name == "snips" else 0
    )
    assert all(not e.warnings for e in found[:20])


def test_a_model_and_normalising_lower_the_variance() -> None:
    world = World()
    values = {
        name: np.std([estimate(name, world.log(400, K, seed), Settings()).value for seed in range(200)])
        for name in ("ips", "snips", "dr")
    }
    assert values["dr"] < values["snips"] < values["ips"]


def test_doubly_robust_survives_a_bad_model_and_bad_chances_alone() -> None:
    world = World()
    logged, target, _, _ = world.log(60_000, 1, 0)
    wrong = doubly_robust(logged, target, np.full((60_000, 1), 0.9), np.full(60_000, 0.9))
    assert wrong.ci95[0] <= world.value(1) <= wrong.ci95[1]
    generator = np.random.default_rng(5)
    context = generator.integers(CONTEXTS, size=60_000)
    arms = generator.integers(ARMS, size=60_000)
    right_model = world.click_XA[context, arms]
    rewards = (generator.random(60_000) < right_model).astype(float)
    false_chances = LoggedLists(rewards, np.full(60_000, 0.5))
    expected = (world.target_XA * world.click_XA).sum(1)[context]
    right = doubly_robust(false_chances, world.target_XA[context, arms], right_model, expected)
    assert right.ci95[0] <= world.value(1) <= right.ci95[1]


def test_judging_the_logging_policy_itself_gives_its_mean() -> None:
    logged, *_ = World().log(500, K, 0)
    for found in (
        inverse_propensity(logged, logged.propensities_TK),
        self_normalised(logged, logged.propensities_TK),
    ):
        assert found.value == pytest.approx(logged.rewards_TK.sum(1).mean())
        assert found.effective == pytest.approx(500)
        assert found.greatest_weight == pytest.approx(1)


def test_lists_of_one_user_count_together() -> None:
    logged, target, *_ = World().log(400, K, 0)
    copies = LoggedLists(np.tile(logged.rewards_TK, (5, 1)), np.tile(logged.propensities_TK, (5, 1)))
    grouped = LoggedLists(copies.rewards_TK, copies.propensities_TK, np.tile(np.arange(400), 5))
    for way in (inverse_propensity, self_normalised):
        alone = way(logged, target)
        naive, honest = (way(log, np.tile(target, (5, 1))) for log in (copies, grouped))
        assert honest.value == pytest.approx(alone.value)
        np.testing.assert_allclose(honest.ci95, alone.ci95)
        assert naive.ci95[1] - naive.ci95[0] < 0.6 * (alone.ci95[1] - alone.ci95[0])
    boot = inverse_propensity(grouped, np.tile(target, (5, 1)), Settings(interval="bootstrap"))
    np.testing.assert_allclose(boot.ci95, inverse_propensity(logged, target).ci95, atol=0.05)


def test_a_cap_biases_and_says_so() -> None:
    logged, target, *_ = World().log(5000, 1, 0)
    capped = inverse_propensity(logged, target, Settings(cap=1.0))
    assert capped.value < inverse_propensity(logged, target).value
    assert any("cut at 1" in warning for warning in capped.warnings)


def test_tiny_chances_few_effective_and_missing_support_are_told() -> None:
    generator = np.random.default_rng(0)
    chances = np.full(2000, 0.5)
    chances[:3] = 1e-5
    found = inverse_propensity(LoggedLists(generator.random(2000), chances), np.full(2000, 0.5))
    assert any("3 logged propensities" in warning for warning in found.warnings)
    assert any("effective" in warning for warning in found.warnings)
    never_shown = inverse_propensity(
        LoggedLists(generator.random(2000), np.full(2000, 0.5)), np.full(2000, 0.1)
    )
    assert any("average 0.20 instead of 1" in warning for warning in never_shown.warnings)


@pytest.mark.parametrize(
    ("rewards", "chances", "message"),
    [
        (np.ones(3), np.asarray([0.5, 0.0, 1.0]), "row 1, place 1"),
        (np.ones(3), np.asarray([0.5, np.nan, 1.0]), "row 1"),
        (np.ones((3, 2)), np.ones((3, 1)), "don't fit"),
        (np.ones((0, 2)), np.ones((0, 2)), "don't fit"),
    ],
)
def test_a_log_that_can_not_be_used_is_refused(
    rewards: np.ndarray, chances: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        LoggedLists(rewards, chances)
