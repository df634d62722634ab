"""Choice of a baseline's options by a validation value alone, within a budget."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import Field

from crossrec.baselines import BASELINES, BaselineOptions
from crossrec.config import Config
from crossrec.data.item_table import ItemTable
from crossrec.runtime import distributed
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError, Recommender, Sequences


@dataclass(frozen=True)
class TuningTrial:
    """One trial of tuning.

    Args:
        config: options that were tried.
        value: validation score, higher is better.
        seconds: time of fitting and validating.
    """

    config: BaselineOptions
    value: float
    seconds: float = 0.0


class TuningBudget(Config):
    """Limits on the tuning of one baseline.

    Args:
        trials: maximum number of settings; a larger grid is sampled. None tries all.
        seconds: time after which no setting is begun, except for the first; the current setting is
            finished. None sets no limit.
        seed: seed of the sample.
    """

    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    seconds: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)

    def choose(self, grid: Sequence[BaselineOptions]) -> list[BaselineOptions]:
        """Return the grid, or a random subset in random order; the same for the same seed."""
        if self.trials is None and self.seconds is None:
            return list(grid)
        # If time may end it early, the tried settings should be a fair sample of the grid.
        count = len(grid) if self.trials is None else min(self.trials, len(grid))
        return random.Random(self.seed).sample(list(grid), count)


def tune(
    grid: Sequence[BaselineOptions],
    items: ItemTable,
    train: Sequences,
    validate: Callable[[Recommender], float],
    budget: TuningBudget | None = None,
    done: Sequence[TuningTrial] = (),
    keep: Callable[[TuningTrial], None] | None = None,
) -> tuple[BaselineOptions, list[TuningTrial]]:
    """Fit each candidate on ``train`` and return the one with the best validation score.

    Args:
        grid: settings to try, usually ``config.grid()``.
        items: item features, from which each setting is built.
        train: training clicks, one row per user.
        validate: function from a fitted recommender to its validation score, higher is better.
        budget: limits on settings and seconds; the whole grid when None.
        done: earlier trials; their settings are not tried again, and their seconds count.
        keep: function that stores each new trial.

    Returns:
        The best setting (the first of equals) and all trials in the order tried.

    Raises:
        ValueError: if the grid is empty, or a value is not finite.
        InputError: if the baseline needs what the catalogue lacks.
    """
    if not grid:
        raise ValueError("the grid is empty: give tune() at least one configuration")
    budget = budget or TuningBudget()
    chosen, known = budget.choose(grid), {trial.config: trial for trial in done}
    trials: list[TuningTrial] = []
    with progress_bar(f"tuning {BASELINES.name_of(chosen[0])}", len(chosen)) as advance:
        for config in chosen:
            if trials and budget.seconds is not None and _spent(trials) >= budget.seconds:
                break
            trial = known.get(config)
            if trial is None:
                trial = _try(config, items, train, validate)
                if keep is not None:
                    keep(trial)
            trials.append(trial)
            advance(1)
    return max(trials, key=lambda trial: trial.value).config, trials


def _spent(trials: Sequence[TuningTrial]) -> float:
    """Return the seconds of the slowest process, so that all stop before the same trial."""
    return max(distributed.gather_objects(sum(trial.seconds for trial in trials)))


def _try(
    config: BaselineOptions,
    items: ItemTable,
    train: Sequences,
    validate: Callable[[Recommender], float],
) -> TuningTrial:
    started = time.monotonic()
    value = float(validate(config.build(items).fit(train)))
    if not math.isfinite(value):
        raise InputError(f"validation gave {value} for {BASELINES.dump(config)}; expected a finite number")
    return TuningTrial(config, value, time.monotonic() - started)
