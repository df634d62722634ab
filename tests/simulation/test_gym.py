"""Gymnasium's interface; runs where gymnasium is installed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from gymnasium.utils.env_checker import check_env

from crossrec.simulation.environment import Environment
from crossrec.simulation.gym import SimulatedShop

MakeWorld = Callable[..., Environment]


@pytest.mark.filterwarnings("ignore")
def test_gymnasium_accepts_it(make_world: MakeWorld) -> None:
    check_env(SimulatedShop(make_world(12), rounds=3, k=4), skip_render_check=True)


def test_an_episode(make_world: MakeWorld) -> None:
    shop = SimulatedShop(
        make_world(50, visit={"rate": 0.8}), rounds=3, k=4, remembered=3, purchase_reward=2.0
    )
    observed, _ = shop.reset(seed=7)
    assert observed["visitors"].sum() > 25
    assert (observed["recent"] == 60).all()
    lists = np.argsort(np.random.default_rng(0).random((50, 60)), axis=1)[:, :4]
    for number in range(3):
        observed, reward, over, late, info = shop.step(lists)
        assert reward == info["clicked"].sum() + 2 * info["bought"].sum()
        assert not over
        assert late == (number == 2)
        if number == 0:
            for user, clicked in zip(info["users"], info["clicked"], strict=True):
                expected = lists[user][clicked][-3:].tolist()
                assert observed["recent"][user][: len(expected)].tolist() == expected
    again, _ = shop.reset(seed=7)
    assert (again["recent"] == 60).all()


def test_a_repeated_item_is_shown_once(make_world: MakeWorld) -> None:
    shop = SimulatedShop(make_world(10), rounds=2, k=3)
    shop.reset()
    *_, info = shop.step(np.tile([5, 5, 5], (10, 1)))
    assert not info["clicked"][:, 1:].any()
