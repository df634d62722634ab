"""Choosing a baseline's settings by a validation value, and by nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crossrec.baselines.config import BaselineConfig
from crossrec.types import Recommender, Sequences


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Args:
        config: the setting.
        value: what ``validate`` said of it, higher is better.
    """

    config: BaselineConfig
    value: float


def tune(
    grid: Sequence[BaselineConfig],
    n_items: int,
    train: Sequences,
    validate: Callable[[Recommender], float],
) -> tuple[BaselineConfig, list[Trial]]:
    """Fits every setting on ``train`` and keeps the one that ``validate`` likes best.

    Args:
        grid: settings to try, usually ``config.grid()``.
        n_items: N, items in the catalogue.
        train: training clicks, one row a user.
        validate: value of a fitted recommender on the validation part, higher is better.

    Returns:
        The best setting (the first of equals) and all trials in grid order.

    Raises:
        ValueError: the grid is empty, or a value is not a finite number.
    """
    if not grid:
        raise ValueError("the grid is empty: give tune() at least one configuration")
    trials = []
    for config in grid:
        value = float(validate(config.build(n_items).fit(train)))
        if not math.isfinite(value):
            raise ValueError(f"validation gave {value} for {config!r}; expected a finite number")
        trials.append(Trial(config, value))
    return max(trials, key=lambda trial: trial.value).config, trials
