"""A conditional logit fitted to a log: the tastes of a real data set's simulated users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.simulation.calibration import Calibration, calibration
from crossrec.simulation.choice_config import ChoiceModelConfig
from crossrec.simulation.choice_features import FEATURES, ChoiceFeatures
from crossrec.simulation.tastes import TasteModel
from crossrec.types import InputError, Sequences

NOTE = "simulated users: a choice model fitted to the log, not the people behind it"
PURCHASE = (-2.0, 0.3)
"""Bias and slope of purchases, which a log of clicks says nothing about: simulated, not fitted."""

STEPS, CLOSE = 100, 1e-10
CHUNK = 4096


@dataclass(frozen=True)
class ChoiceModel:
    """A fitted choice model.

    Args:
        coefficients: of ``FEATURES``.
        tastes: of the users, from all clicks but those that checked the calibration.
        start: U rows, the clicks that a simulated recommender may know at the start.
        check: of the model on the clicks held back for it.
        uniform: log-likelihood of a click among its alternatives when all are as likely, on the same clicks.
        likelihood: the model's mean log-likelihood there.
    """

    coefficients: np.ndarray
    tastes: TasteModel
    start: Sequences
    check: Calibration
    uniform: float
    likelihood: float

    def summary(self) -> dict[str, float]:
        """Coefficients, calibration error and likelihoods, for a report."""
        named = {f"coefficient {name}": float(c) for name, c in zip(FEATURES, self.coefficients, strict=True)}
        return {
            **named,
            "calibration error": self.check.error,
            "log-likelihood of a held-back click": self.likelihood,
            "the same of an even draw": self.uniform,
        }


def fit_choice_model(clicks: Sequences, categories_NG: np.ndarray, config: ChoiceModelConfig) -> ChoiceModel:
    """Fits a conditional logit, u_ui = b . (popularity, interest in the category, factors).

    Features come from the first part of every user's clicks, coefficients from the second, by maximum
    likelihood among sampled alternatives. Then features are made anew from both, and the model's chances are
    checked on the third, which nothing has seen.

    Args:
        clicks: U rows, oldest first.
        categories_NG: (N, G) shares, rows that sum to 1 or 0.
        config: of the model.

    Raises:
        InputError: a part has no clicks on items that are new to their user, or a user has too few items left
            for ``alternatives``.

    Source:
        McFadden: Conditional logit analysis of qualitative choice behavior (1974); even sampling of
        alternatives leaves the estimate consistent: McFadden: Modelling the choice of residential location
        (1978).
    """
    learn_U = np.floor(config.learn * clicks.lengths).astype(np.int64)
    fit_U = np.floor((config.learn + config.fit) * clicks.lengths).astype(np.int64)
    everyone = np.arange(len(clicks))
    start, before = clicks.take(everyone, learn_U), clicks.take(everyone, fit_U)
    if not len(start.items) or learn_U.sum() == fit_U.sum() or fit_U.sum() == len(clicks.items):
        raise InputError(
            f"the choice model needs clicks in three parts: learn {config.learn:g}, fit {config.fit:g} and "
            f"the rest of {len(clicks.items)} clicks; users with more clicks, or other shares"
        )
    features = ChoiceFeatures.of(start, categories_NG, config)
    fitting = _sets(clicks, learn_U, fit_U, config, len(categories_NG), 0)
    coefficients = _maximise(features, fitting, config.ridge)
    features = ChoiceFeatures.of(before, categories_NG, config)
    checking = _sets(clicks, fit_U, clicks.lengths, config, len(categories_NG), 1)
    chances_TC = _chances(features, checking, coefficients)
    return ChoiceModel(
        coefficients=coefficients,
        tastes=_tastes(features, coefficients),
        start=start,
        check=calibration(chances_TC, config.bins),
        uniform=float(-np.log(chances_TC.shape[1])),
        likelihood=float(np.log(np.maximum(chances_TC[:, 0], 1e-300)).mean()),
    )


def _sets(
    clicks: Sequences,
    begin_U: np.ndarray,
    end_U: np.ndarray,
    config: ChoiceModelConfig,
    n_items: int,
    part: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(T,) users and (T, 1 + C) items, the clicked one first, of clicks begin to end of each row.

    Clicks on what the user had before are no choices: such items are not among the alternatives either.
    """
    users_T = clicks.row_of_click
    place_T = np.arange(len(users_T)) - clicks.offsets[users_T]
    chosen_T = np.flatnonzero((place_T >= begin_U[users_T]) & (place_T < end_U[users_T]))
    before = clicks.take(np.arange(len(clicks)), begin_U)
    items_T1 = np.asarray(clicks.items)[chosen_T].astype(np.int64)[:, None]
    new_T = ~before.take(users_T[chosen_T]).contains(items_T1)[:, 0]
    chosen_T, own_T1 = chosen_T[new_T], items_T1[new_T]
    if not len(chosen_T):
        raise InputError("the choice model needs clicks on items that are new to their user; there are none")
    users, draws = users_T[chosen_T], CounterRng(config.seed, part)
    parts = []
    for start in range(0, len(users), CHUNK):
        rows = slice(start, start + CHUNK)
        had = before.take(users[rows])
        parts.append(_alternatives(had, own_T1[rows], chosen_T[rows], draws, config.alternatives, n_items))
    return users, np.concatenate([own_T1, np.concatenate(parts)], axis=1)


def _alternatives(
    had: Sequences, own_T1: np.ndarray, index_T: np.ndarray, draws: CounterRng, wanted: int, n_items: int
) -> np.ndarray:
    """(T, C) items drawn evenly, with repeats, from those that a user neither had nor clicked."""
    stride = n_items * had.row_of_click
    most = int(np.bincount(np.unique(stride + had.items) // n_items, minlength=1).max()) + 1
    if n_items - most < wanted:
        raise InputError(
            f"a user of the choice model has clicked {most} of {n_items} items, which leaves too few for "
            f"tastes.alternatives={wanted}; say at most {n_items - most}, or leave such users out of the data"
        )
    # Wide enough for the user with the fewest items left; a draw hangs on its place alone, so that a wider
    # table begins with the same ones.
    width = int(np.ceil(wanted * n_items / (n_items - most))) + 20
    while True:
        uniform_TW = draws.uniform(Stream.NEGATIVES, index_T, np.arange(width))
        drawn_TW = np.minimum((uniform_TW * n_items).astype(np.int64), n_items - 1)
        taken_TW = had.contains(drawn_TW) | (drawn_TW == own_T1)
        if (~taken_TW).sum(1).min() >= wanted:
            order_TC = np.argsort(taken_TW, axis=1, kind="stable")[:, :wanted]
            return np.take_along_axis(drawn_TW, order_TC, 1)
        width *= 2


def _maximise(features: ChoiceFeatures, sets: tuple[np.ndarray, np.ndarray], ridge: float) -> np.ndarray:
    """Newton's method on the concave log-likelihood."""
    coefficients = np.zeros(len(FEATURES))
    for _ in range(STEPS):
        gradient, curvature = -ridge * coefficients, ridge * np.eye(len(coefficients))
        for start in range(0, len(sets[0]), CHUNK):
            x_TCF = features.pairs(sets[0][start : start + CHUNK], sets[1][start : start + CHUNK])
            p_TC = _softmax(x_TCF @ coefficients)
            mean_TF = np.einsum("tc,tcf->tf", p_TC, x_TCF)
            gradient += (x_TCF[:, 0] - mean_TF).sum(0) / len(sets[0])
            squares = np.einsum("tc,tcf,tcg->fg", p_TC, x_TCF, x_TCF, optimize=True)
            curvature += (squares - mean_TF.T @ mean_TF) / len(sets[0])
        step = np.linalg.solve(curvature, gradient)
        # Never further than one unit: far from the optimum, the quadratic may overshoot.
        coefficients = coefficients + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < CLOSE:
            break
    return coefficients


def _chances(
    features: ChoiceFeatures, sets: tuple[np.ndarray, np.ndarray], coefficients: np.ndarray
) -> np.ndarray:
    parts = [
        _softmax(features.pairs(sets[0][s : s + CHUNK], sets[1][s : s + CHUNK]) @ coefficients)
        for s in range(0, len(sets[0]), CHUNK)
    ]
    return np.concatenate(parts)


def _softmax(utility_TC: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return np.asarray(softmax(utility_TC, axis=1))


def _tastes(features: ChoiceFeatures, coefficients: np.ndarray) -> TasteModel:
    popularity, interest, factors = coefficients
    n_categories = features.categories_NG.shape[1]
    tastes_UD = np.concatenate([interest * features.interest_UG, factors * features.users_UF], axis=1)
    features_ND = np.concatenate([features.categories_NG, features.items_NF], axis=1)
    return TasteModel(
        tastes_UD=tastes_UD.astype(np.float32),
        features_ND=features_ND.astype(np.float32),
        offset_N=popularity * features.popularity_N,
        categories_NG=features.categories_NG.astype(np.float32),
        after_purchase_GG=np.zeros((n_categories, n_categories)),
        purchase=PURCHASE,
        note=NOTE,
    )
