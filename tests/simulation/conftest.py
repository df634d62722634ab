"""A small world of simulated users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crossrec.config import validate
from crossrec.simulation.config import EnvironmentConfig
from crossrec.simulation.environment import Environment
from crossrec.simulation.tastes import TasteModel

N_ITEMS, N_KINDS, WIDTH = 60, 4, 5

STILL: dict[str, Any] = {
    "click": {"position_bias": 0, "appealing": 0.3},
    "satiation": {"strength": 0, "within_list": 0},
    "drift": {"share": 0},
    "boredom": {"weight": 0},
    "visit": {"rate": 1, "bored_stay_away": 0, "leave": 0, "leave_bored": 0},
}
"""Users who only click by taste; tests switch one thing on."""

MakeWorld = Callable[..., Environment]


def tastes(n_users: int, *, alike: bool = False) -> TasteModel:
    """Random tastes; alike: all users have the same."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(N_ITEMS, WIDTH)).astype(np.float32)
    own = generator.normal(size=(1 if alike else n_users, WIDTH)).astype(np.float32)
    after = np.zeros((N_KINDS, N_KINDS))
    after[0, 1] = 4.0
    return TasteModel(
        tastes_UD=np.repeat(own, n_users, 0) if alike else own,
        features_ND=features,
        offset_N=generator.normal(size=N_ITEMS),
        categories_NG=np.eye(N_KINDS, dtype=np.float32)[np.arange(N_ITEMS) % N_KINDS],
        after_purchase_GG=after,
        purchase=(-0.5, 0.4),
        note="simulated for a test",
        drift_scale_D=np.ones(WIDTH),
    )


@pytest.fixture
def make_world() -> MakeWorld:
    """An environment of ``n_users`` in which only what is named differs from ``STILL``."""

    def make(n_users: int, seed: int = 0, *, alike: bool = False, **parts: dict[str, Any]) -> Environment:
        content = {name: {**STILL.get(name, {}), **parts.get(name, {})} for name in {*STILL, *parts}}
        return Environment(tastes(n_users, alike=alike), validate(EnvironmentConfig, content, "test"), seed)

    return make
