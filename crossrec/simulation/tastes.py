"""Hidden tastes: what users would like if they saw it, linear in what items are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

ROWS = 512
"""Users whose utilities of all items exist at once."""


@dataclass(frozen=True)
class Novelty:
    """What new items have on top, while they are new.

    Args:
        boost: utility.
        until_N: (N,) days, counted from the start of the simulation, until which each item is new.
    """

    boost: float
    until_N: np.ndarray


@dataclass(frozen=True)
class TasteModel:
    """Utilities u_ui = taste_u . features_i + offset_i of U users and N items.

    Args:
        tastes_UD: (U, D) float32 at the start.
        features_ND: (N, D) float32.
        offset_N: (N,) float64, what all users share.
        categories_NG: (N, G) float32, each row sums to 1, or to 0 for an item without a category.
        after_purchase_GG: (G, G) utility that a purchase in a category gives to others at the next visit.
        purchase: bias and slope of the chance that a click is a purchase.
        note: one line on where the tastes come from; ends up in every output.
        novelty: of new items; None for none.
        drift_scale_D: (D,) standard deviation of tastes over users, which drift goes by.
    """

    tastes_UD: np.ndarray
    features_ND: np.ndarray
    offset_N: np.ndarray
    categories_NG: np.ndarray
    after_purchase_GG: np.ndarray
    purchase: tuple[float, float]
    note: str
    novelty: Novelty | None = None
    drift_scale_D: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        """Checks shapes, and takes the spread of tastes where no scale of drift is given."""
        n_users, width = self.tastes_UD.shape
        n_items, n_categories = self.categories_NG.shape
        if self.features_ND.shape != (n_items, width) or self.offset_N.shape != (n_items,):
            raise ValueError(f"{n_items} items of width {width}, but features are {self.features_ND.shape}")
        if self.after_purchase_GG.shape != (n_categories, n_categories):
            raise ValueError(f"{n_categories} categories, but {self.after_purchase_GG.shape} after purchases")
        if not len(self.drift_scale_D):
            scale = self.tastes_UD.std(0) if n_users > 1 else np.zeros(width)
            object.__setattr__(self, "drift_scale_D", scale)

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.tastes_UD)

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.features_ND)

    def offsets(self, day: float) -> np.ndarray:
        """(N,) what all users share on a day of the simulation."""
        if self.novelty is None:
            return self.offset_N
        return self.offset_N + self.novelty.boost * (day < self.novelty.until_N)

    def outside(self, appealing: float) -> np.ndarray:
        """(U,) the utility that the best ``appealing`` share of the catalogue reaches at the start."""
        place = min(int(np.ceil(appealing * self.n_items)), self.n_items) - 1
        offset_N = self.offsets(0.0).astype(np.float32)
        found = np.empty(self.n_users)
        for start in range(0, self.n_users, ROWS):
            utility_BN = self.tastes_UD[start : start + ROWS] @ self.features_ND.T + offset_N
            best_BN = -np.partition(-utility_BN, place, axis=1)
            found[start : start + ROWS] = best_BN[:, place]
        return found

    def take(self, users: np.ndarray) -> TasteModel:
        """The same items and some of the users, with the scale of drift of all."""
        return TasteModel(
            self.tastes_UD[users],
            self.features_ND,
            self.offset_N,
            self.categories_NG,
            self.after_purchase_GG,
            self.purchase,
            self.note,
            self.novelty,
            self.drift_scale_D,
        )


def spread_evenly(member_NG: np.ndarray) -> np.ndarray:
    """(N, G) float32 membership divided by the number of an item's categories."""
    member_NG = np.asarray(member_NG, np.float32)
    size_N1 = member_NG.sum(1, keepdims=True)
    return np.divide(member_NG, size_N1, out=np.zeros_like(member_NG), where=size_N1 > 0)
