"""Logged lists with their chances: what off-policy evaluation starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossrec.types import InputError

TINY = 1e-3
"""A logged chance below this is worth a warning: one such click weighs as much as a thousand others."""

FEW = 0.05
"""Effective observations, as a share of all, below which an estimate rests on a handful of rows."""

FAR = 4.0
"""Standard errors that the mean weight may be away from 1."""


@dataclass(frozen=True)
class Logged:
    """Answers to T lists of K places that a logging policy showed; K is 1 for single slots.

    Args:
        rewards_TK: what each place brought, such as 1 for a click.
        propensities_TK: chance, in (0, 1], with which the logging policy put the item there.
        users_T: (T,) who saw each list, where one user saw several: intervals then take users as independent,
            not lists. None takes lists as independent.

    Raises:
        InputError: shapes that don't fit, or a chance outside (0, 1].
    """

    rewards_TK: np.ndarray
    propensities_TK: np.ndarray
    users_T: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Checks shapes and chances."""
        for name in ("rewards_TK", "propensities_TK"):
            values = np.asarray(getattr(self, name), float)
            object.__setattr__(self, name, values[:, None] if values.ndim == 1 else values)
        chance = self.propensities_TK
        if self.rewards_TK.shape != chance.shape or not chance.size:
            raise InputError(f"rewards {self.rewards_TK.shape} don't fit propensities {chance.shape}")
        wrong = ~((chance > 0) & (chance <= 1))
        if wrong.any():
            row, place = (int(i) for i in np.argwhere(wrong)[0])
            raise InputError(
                f"row {row}, place {place + 1}: logged propensity {chance[row, place]:g} is outside (0, 1]; "
                "leave out lists whose chance is not known"
            )
        if self.users_T is not None and len(self.users_T) != len(chance):
            raise InputError(f"{len(self.users_T)} users for {len(chance)} lists")

    def __len__(self) -> int:
        return len(self.rewards_TK)

    def weights(self, target_TK: np.ndarray, cap: float | None) -> np.ndarray:
        """(T, K) chances under the target policy over the logged ones, cut at ``cap``.

        Raises:
            InputError: the shapes don't fit.
        """
        return np.minimum(self._raw(target_TK), np.inf if cap is None else cap)

    def groups(self) -> np.ndarray:
        """(T,) number of the independent group that each row belongs to, from 0 without gaps."""
        if self.users_T is None:
            return np.arange(len(self))
        return np.unique(self.users_T, return_inverse=True)[1]

    def effective(self, weights_TK: np.ndarray) -> float:
        """Rows that would say as much if all weighed the same, (sum w)^2 / sum w^2, at the worst place.

        Source:
            Kish: Survey sampling (1965); Owen: Monte Carlo theory, methods and examples (2013), section 9.3.
        """
        squares_K = (weights_TK**2).sum(0)
        return float(
            np.divide(weights_TK.sum(0) ** 2, squares_K, where=squares_K > 0, out=squares_K * 0).min()
        )

    def warnings(self, target_TK: np.ndarray, cap: float | None) -> tuple[str, ...]:
        """What speaks against trusting an estimate: one sentence each."""
        raw_TK, found = self._raw(target_TK), []
        tiny = int((self.propensities_TK < TINY).sum())
        if tiny:
            least = float(self.propensities_TK.min())
            found.append(f"{tiny} logged propensities are below {TINY:g}, the smallest is {least:.2g}")
        effective = self.effective(self.weights(target_TK, cap))
        if effective < FEW * len(self):
            found.append(f"only {effective:.0f} effective of {len(self)} observations at the worst place")
        if cap is not None and (raw_TK > cap).any():
            found.append(
                f"{(raw_TK > cap).mean():.1%} of the weights were cut at {cap:g}, which biases the estimate"
            )
        error_K = raw_TK.std(0) / np.sqrt(len(self))
        apart_K = np.abs(raw_TK.mean(0) - 1) > FAR * error_K + 1e-9
        if apart_K.any():
            place = int(apart_K.argmax())
            found.append(
                f"weights at place {place + 1} average {raw_TK[:, place].mean():.2f} instead of 1: "
                "wrong propensities, or items that the logging policy never shows"
            )
        return tuple(found)

    def _raw(self, target_TK: np.ndarray) -> np.ndarray:
        target_TK = np.asarray(target_TK, float)
        target_TK = target_TK[:, None] if target_TK.ndim == 1 else target_TK
        if target_TK.shape != self.propensities_TK.shape:
            raise InputError(
                f"target chances {target_TK.shape} don't fit the log {self.propensities_TK.shape}"
            )
        return np.asarray(target_TK / self.propensities_TK)
