"""Which users the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossrec.evaluation.report.glossary import CUTOFF
from crossrec.types import ABSENT, Sequences, TopK

MAX_INSPECTED = 20_000
"""Queries looked at when choosing, so that a million of them cost no more."""


@dataclass(frozen=True)
class Showcase:
    """The queries whose lists are drawn as pictures.

    Args:
        queries: rows of the evaluation, in the order shown.
        n_hits: how many of them the model hit within the cutoff.
    """

    queries: np.ndarray
    n_hits: int

    @property
    def n_misses(self) -> int:
        """How many of them the model missed."""
        return len(self.queries) - self.n_hits


def hits_of(ids_QK: np.ndarray, targets: Sequences) -> np.ndarray:
    """(Q, K) bool, whether a recommended item is one of its query's targets."""
    width = max(int(ids_QK.max(initial=0)), int(np.max(targets.items, initial=0))) + 1
    wanted = targets.row_of_click * width + targets.items
    offered = np.arange(len(ids_QK))[:, None] * width + ids_QK
    return np.isin(offered, wanted) & (ids_QK != ABSENT)


def choose_users(lists: TopK, targets: Sequences, user_ids: Sequence[str], n: int, seed: int) -> Showcase:
    """Draws queries of different users, half of them hits of the model where there are enough.

    Args:
        lists: (Q, K) the model's lists.
        targets: Q rows, what was clicked next.
        user_ids: (Q,) original ids; a user with several queries is shown once.
        n: how many to show at most.
        seed: of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(lists))[:MAX_INSPECTED]
    _, first = np.unique(
        np.asarray([user_ids[q] for q in order], dtype=object).astype(str),
        return_index=True,
    )
    order = order[np.sort(first)]
    hit = hits_of(lists.ids[order, :CUTOFF], targets.take(order)).any(axis=1)
    hits, misses = order[hit], order[~hit]
    n_hits = min(len(hits), max(n // 2, n - len(misses)))
    n_misses = min(len(misses), n - n_hits)
    return Showcase(np.concatenate([hits[:n_hits], misses[:n_misses]]), n_hits)
