"""A conditional logit fitted to a log: the tastes of a real data set's simulated users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, model_validator
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

from crossrec.config import Config
from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.simulation.calibration import Calibration, calibration
from crossrec.simulation.tastes import TasteModel
from crossrec.types import InputError, Sequences


class ChoiceModelConfig(Config):
    """A conditional logit over items, fitted to a log.

    Each user's clicks are divided in order: the first share ``learn`` gives the features, the next share
    ``fit`` the coefficients, the rest checks the calibration. A simulated recommender starts from the first
    part alone.

    Args:
        learn: share of each user's clicks for the features.
        fit: share of each user's clicks for the coefficients.
        factors: width of item and user factors.
        smoothing: pseudo-clicks, spread evenly over categories, added before a user's shares are computed.
        alternatives: number of items compared with each click, drawn uniformly from those not clicked.
        ridge: weight of the squared coefficients.
        bins: number of bins of the reliability table.
        seed: seed of the alternatives.
    """

    learn: float = Field(0.6, gt=0, lt=1)
    fit: float = Field(0.2, gt=0, lt=1)
    factors: int = Field(32, ge=1, le=65_536)
    smoothing: float = Field(2.0, gt=0)
    alternatives: int = Field(100, ge=1)
    ridge: float = Field(1e-3, ge=0)
    bins: int = Field(10, ge=2)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if self.learn + self.fit >= 1:
            raise ValueError(
                f"learn {self.learn:g} and fit {self.fit:g} leave no clicks to check the calibration"
            )
        return self


FEATURES = ("popularity", "category", "factors")
"""Features of the coefficients."""


@dataclass(frozen=True)
class ChoiceFeatures:
    """Features of users and items from some clicks; a pair's three features are dot products of them.

    Args:
        popularity_N: (N,) logarithm of clicks plus one, centred.
        interest_UG: (U, G) logarithm of a user's share of each category over that of all users.
        categories_NG: (N, G) shares of an item's categories.
        users_UF: (U, F) factors of the users: the mean factors of their clicked items.
        items_NF: (N, F) factors of the items, scaled so that a pair's dot product has unit variance.
    """

    popularity_N: np.ndarray
    interest_UG: np.ndarray
    categories_NG: np.ndarray
    users_UF: np.ndarray
    items_NF: np.ndarray

    @classmethod
    def of(cls, clicks: Sequences, categories_NG: np.ndarray, config: ChoiceModelConfig) -> ChoiceFeatures:
        """Return the features of U users and N items.

        The factors are those of a truncated singular value decomposition of the click matrix, each click
        divided by the root of its user's and its item's number of clicks.
        """
        n_users, n_items = len(clicks), len(categories_NG)
        users_T = np.repeat(np.arange(n_users), clicks.lengths)
        shape = (n_users, n_items)
        clicks_UN = csr_matrix((np.ones(len(users_T)), (users_T, np.asarray(clicks.items))), shape=shape)
        clicks_UN.data[:] = 1.0
        counts_N, counts_U = (np.asarray(clicks_UN.sum(axis)).ravel() for axis in (0, 1))
        scaled_UN = csr_matrix(clicks_UN)
        scaled_UN.data = 1 / np.sqrt(counts_U[users_T_of(scaled_UN)] * counts_N[scaled_UN.indices])
        factors = min(config.factors, min(shape) - 1)
        start = np.full(min(shape), 1 / np.sqrt(min(shape)))
        _, values_F, items_FN = svds(scaled_UN, k=factors, v0=start)
        items_NF = items_FN.T * values_F
        users_UF = (clicks_UN @ items_NF) / np.maximum(counts_U, 1)[:, None]
        sample = users_UF[:: max(1, n_users // 512)] @ items_NF.T
        log_popular = np.log1p(counts_N)
        return cls(
            popularity_N=log_popular - log_popular.mean(),
            interest_UG=_interest(clicks_UN @ categories_NG, config.smoothing),
            categories_NG=categories_NG,
            users_UF=users_UF,
            items_NF=items_NF / max(float(sample.std()), 1e-12),
        )

    def pairs(self, users_T: np.ndarray, items_TC: np.ndarray) -> np.ndarray:
        """Return (T, C, 3) features of pairs of users and items, in the order of ``FEATURES``."""
        interest = np.einsum("tg,tcg->tc", self.interest_UG[users_T], self.categories_NG[items_TC])
        factors = np.einsum("tf,tcf->tc", self.users_UF[users_T], self.items_NF[items_TC])
        return np.stack([self.popularity_N[items_TC], interest, factors], axis=2)


def users_T_of(matrix: csr_matrix) -> np.ndarray:
    """Return (T,) row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _interest(counts_UG: np.ndarray, smoothing: float) -> np.ndarray:
    """Return (U, G) log of a user's share of each category over everybody's, smoothed towards 0."""
    overall_G = (counts_UG.sum(0) + 1) / (counts_UG.sum() + counts_UG.shape[1])
    share_UG = counts_UG + smoothing * overall_G
    return np.log(share_UG / share_UG.sum(1, keepdims=True) / overall_G)


NOTE = "simulated users: a choice model fitted to the log, not real people"
PURCHASE = (-2.0, 0.3)
"""Bias and slope of purchases: assumed, since a log of clicks can't identify them."""
STEPS, CLOSE = 100, 1e-10
CHUNK = 4096


@dataclass(frozen=True)
class ChoiceModel:
    """A fitted choice model.

    Args:
        coefficients: coefficients of ``FEATURES``.
        tastes: tastes of the users, from all clicks but those that checked the calibration.
        start: U rows of the clicks from which a simulated recommender starts.
        check: calibration on the held-out clicks.
        uniform: mean log-likelihood of a held-out click under a uniform choice among its alternatives.
        likelihood: the model's mean log-likelihood of a held-out click.
    """

    coefficients: np.ndarray
    tastes: TasteModel
    start: Sequences
    check: Calibration
    uniform: float
    likelihood: float

    def summary(self) -> dict[str, float]:
        """Return the coefficients, calibration error and likelihoods, for a report."""
        named = {f"coefficient {name}": float(c) for name, c in zip(FEATURES, self.coefficients, strict=True)}
        return {
            **named,
            "calibration error": self.check.error,
            "log-likelihood of a held-back click": self.likelihood,
            "the same of an even draw": self.uniform,
        }


def fit_choice_model(clicks: Sequences, categories_NG: np.ndarray, config: ChoiceModelConfig) -> ChoiceModel:
    """Fit a conditional logit, u_ui = b . (popularity, interest in the category, factors).

    Features come from the first part of every user's clicks, coefficients from the second, by maximum
    likelihood among sampled alternatives. Then features are computed again from both, and the model's
    probabilities are checked on the third, which is held out.

    Args:
        clicks: U rows, oldest first.
        categories_NG: (N, G) shares, rows that sum to 1 or 0.
        config: configuration of the model.

    Raises:
        InputError: if a part has no clicks on items new to their user, or a user has too few items left
            for ``alternatives``.

    Source:
        McFadden: Conditional logit analysis of qualitative choice behavior (1974); uniform sampling of
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
    """Return (T,) users and (T, 1 + C) items, the clicked one first, of clicks begin to end of each row.

    Repeat clicks are not choices, and the user's earlier items are not alternatives either.
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
    """Return (T, C) items drawn uniformly with replacement from those that a user neither had nor clicked."""
    stride = n_items * had.row_of_click
    most = int(np.bincount(np.unique(stride + had.items) // n_items, minlength=1).max()) + 1
    if n_items - most < wanted:
        raise InputError(
            f"a user of the choice model has clicked {most} of {n_items} items, which leaves too few for "
            f"tastes.alternatives={wanted}; set at most {n_items - most}, or remove such users from the data"
        )
    # Wide enough for the user with the fewest items left; a draw depends on its column alone, so a wider
    # table begins with the same draws.
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
    """Maximise the concave log-likelihood by Newton's method."""
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
        # Steps of at most one unit: far from the optimum, the quadratic may overshoot.
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
