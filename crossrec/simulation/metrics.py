"""Metrics of every round: clicks, purchases, diversity and exposure of the lists."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.data.item_table import BEHAVIOUR, CONTENT, ItemTable
from crossrec.evaluation.metrics.diversity import category_distance, intra_list_distance
from crossrec.evaluation.metrics.exposure import UserLists, coverage, gini
from crossrec.exploration.counter_rng import CounterRng, Stream
from crossrec.simulation.loop import Round
from crossrec.types import ABSENT

PAIRS = 8
"""Number of other users with whose lists each user's list is compared."""


class RoundMetrics:
    """Metrics of consecutive rounds; categories shown and clicked add up over rounds.

    Args:
        items: features of the items at the start; categories are shares, as in
            :class:`crossrec.simulation.tastes.TasteModel`, and the spaces ``content`` and ``behaviour`` are
            for distances.
        n_users: U.
        k: length of the lists.
        seed: seed of the pairs of users that are compared.
        tail_share: share of the training clicks that the tail holds.
    """

    def __init__(self, items: ItemTable, n_users: int, k: int, seed: int, tail_share: float) -> None:
        self._items, self._n_users, self._k, self._seed = items, n_users, k, seed
        self._categories_NG = items.categories.toarray().astype(np.float32)
        self._member = csr_matrix(self._categories_NG > 0)
        self._tail_N = items.tail(tail_share)
        n_categories = self._categories_NG.shape[1]
        self._shown_UG, self._clicked_UG = np.zeros((2, n_users, n_categories))

    def of(self, happened: Round) -> dict[str, float]:
        """Return the metrics of a round, NaN where there is nothing to measure.

        Counts: ``visits shown clicks purchases buying_visits``. Rates: ``click_rate`` (clicks over items
        shown), ``conversion`` (visits with a purchase over visits), ``clicks_per_user`` (over all users,
        those who left included). ``entropy_list`` is the mean over visits of the Shannon entropy, in nats, of
        a list's categories. ``entropy_shown`` and ``entropy_clicked`` are means over users of the entropy of
        all that a user was shown, and clicked, since the start: over all users with anything shown, or
        clicked, those who stayed away or left included, for those who still come are not like the others.
        ``ild`` (content), ``ild_behaviour`` (co-clicks before the start) and ``ild_category`` are mean
        distances within lists, ``tail_share`` the share of items shown
        that were in the tail at the start, ``homogeneity`` the mean Jaccard overlap of two visitors' lists,
        ``coverage`` and ``gini`` the catalogue's exposure, ``retention`` the share of all users who have not
        left for good, ``came`` the share who came.
        """
        ids_BK, clicked_BK = happened.ids_BK, happened.feedback.clicked_BK
        there_BK = ids_BK != ABSENT
        self._count(happened.users_B, ids_BK, there_BK, clicked_BK)
        figures = {
            **self._rates(happened, there_BK),
            "entropy_shown": _mean(entropies(self._shown_UG)),
            "entropy_clicked": _mean(entropies(self._clicked_UG)),
        }
        if not len(ids_BK):
            return {**figures, **dict.fromkeys(SHAPES, float("nan"))}
        weights_BKG = self._categories_NG[ids_BK] * there_BK[:, :, None]
        lists_UI = self._lists(ids_BK, there_BK)
        exposure = UserLists(lists_UI, np.ones(len(ids_BK))).exposure(
            np.ones((1, len(ids_BK))), len(self._tail_N), self._k
        )
        return {
            **figures,
            "entropy_list": _mean(entropies(weights_BKG.sum(1))),
            "ild": self._distance(ids_BK, CONTENT),
            "ild_behaviour": self._distance(ids_BK, BEHAVIOUR),
            "ild_category": _mean(category_distance(ids_BK, self._member, self._k)),
            "tail_share": float(self._tail_N[ids_BK[there_BK]].mean()),
            "homogeneity": self._homogeneity(ids_BK, happened.number),
            "coverage": float(coverage(exposure)[0]),
            "gini": float(gini(exposure)[0]),
        }

    def _rates(self, happened: Round, there_BK: np.ndarray) -> dict[str, float]:
        feedback = happened.feedback
        visits, shown = len(happened.users_B), int(there_BK.sum())
        clicks, purchases = int(feedback.clicked_BK.sum()), int(feedback.bought_BK.sum())
        buying = int(feedback.bought_BK.any(1).sum())
        return {
            "visits": visits,
            "shown": shown,
            "clicks": clicks,
            "purchases": purchases,
            "buying_visits": buying,
            "click_rate": clicks / shown if shown else float("nan"),
            "conversion": buying / visits if visits else float("nan"),
            "clicks_per_user": clicks / self._n_users,
            "retention": 1 - happened.left,
            "came": visits / self._n_users,
        }

    def _count(
        self, users_B: np.ndarray, ids_BK: np.ndarray, there_BK: np.ndarray, clicked_BK: np.ndarray
    ) -> None:
        weights_BKG = self._categories_NG[ids_BK]
        self._shown_UG[users_B] += (weights_BKG * there_BK[:, :, None]).sum(1)
        self._clicked_UG[users_B] += (weights_BKG * clicked_BK[:, :, None]).sum(1)

    def _lists(self, ids_BK: np.ndarray, there_BK: np.ndarray) -> csr_matrix:
        rows, _ = np.nonzero(there_BK)
        shape = (len(ids_BK), len(self._tail_N))
        return csr_matrix((np.ones(len(rows)), (rows, ids_BK[there_BK])), shape=shape)

    def _distance(self, ids_BK: np.ndarray, space: str) -> float:
        if space not in self._items.spaces:
            return float("nan")
        vectors_ND, present_N = self._items.vectors(space), self._items.present(space)
        return _mean(intra_list_distance(ids_BK, vectors_ND, present_N, self._k))

    def _homogeneity(self, ids_BK: np.ndarray, number: int) -> float:
        n_lists = len(ids_BK)
        if n_lists < 2:
            return float("nan")
        uniform = CounterRng(self._seed, number).uniform(Stream.PAIRS, np.zeros(1), np.arange(PAIRS))[0]
        shifts = 1 + np.floor(uniform * (n_lists - 1)).astype(int)
        return float(np.mean([overlap(ids_BK, np.roll(ids_BK, -shift, axis=0)).mean() for shift in shifts]))


SHAPES = (
    "entropy_list",
    "ild",
    "ild_behaviour",
    "ild_category",
    "tail_share",
    "homogeneity",
    "coverage",
    "gini",
)
"""Metrics that need a visitor."""


def entropies(counts_BG: np.ndarray) -> np.ndarray:
    """Return (B,) Shannon entropy of each row in nats; NaN for a row of zeros."""
    total_B1 = counts_BG.sum(1, keepdims=True)
    shares_BG = np.divide(counts_BG, total_B1, out=np.zeros(counts_BG.shape), where=total_B1 > 0)
    logs_BG = np.log(shares_BG, out=np.zeros(shares_BG.shape), where=shares_BG > 0)
    return np.where(total_B1[:, 0] > 0, -(shares_BG * logs_BG).sum(1), np.nan)


def overlap(first_BK: np.ndarray, second_BK: np.ndarray) -> np.ndarray:
    """Return (B,) Jaccard overlap |A & B| / |A | B| of lists side by side; 0 where both are empty.

    Source:
        Chaney, Stewart, Engelhardt: How algorithmic confounding in recommendation systems increases
        homogeneity and decreases utility (RecSys 2018), there of what users consumed, here of what they are
        shown.
    """
    same_BKK = (first_BK[:, :, None] == second_BK[:, None, :]) & (first_BK[:, :, None] != ABSENT)
    both_B = same_BKK.sum((1, 2))
    either_B = (first_BK != ABSENT).sum(1) + (second_BK != ABSENT).sum(1) - both_B
    return np.divide(both_B, either_B, out=np.zeros(len(both_B)), where=either_B > 0)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
