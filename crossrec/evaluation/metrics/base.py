"""Base of metrics: inputs, required data, and display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crossrec.data.item_table import CATEGORY, ItemTable
from crossrec.evaluation.matching import MatchedLists


@dataclass(frozen=True)
class MetricInputs:
    """Inputs of metrics of single lists: ranked lists with targets, item features, options.

    Args:
        lists: Q lists, matched with their targets.
        items: features of the N items.
        k: cutoff.
        tail_share: share of the training clicks on tail items.
        exclude_seen: whether items of a query's history are never recommended.
    """

    lists: MatchedLists
    items: ItemTable
    k: int
    tail_share: float = 0.2
    exclude_seen: bool = True


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Base of metrics: display and required data.

    Args:
        meaning: one-line description.
        higher_is_better: None if neither direction is better.
        digits: number of decimals.
        space: required space of the items; ``"category"`` for categories, None for none.
    """

    meaning: str
    higher_is_better: bool | None = True
    digits: int = 3
    space: str | None = None

    def missing(self, items: ItemTable) -> str | None:
        """Return the reason why the metric can't be computed from these items, or None."""
        if self.space == CATEGORY:
            return None if items.categories.shape[1] else "the catalogue has no categories"
        if self.space is not None and self.space not in items.spaces:
            return f"no item vectors in the space '{self.space}'"
        return None


@dataclass(frozen=True, kw_only=True)
class ListMetric(Metric):
    """A metric of single lists, averaged over users.

    Args:
        compute: function from the inputs to (Q,) values, NaN where a query has none.
    """

    compute: Callable[[MetricInputs], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class HitMetric(Metric):
    """Accuracy metric of single lists, by hits alone.

    Args:
        of_hits: (hits_QK, n_targets_Q, k) -> (Q,), NaN where a query has no target.
    """

    of_hits: Callable[[np.ndarray, np.ndarray, int], np.ndarray]

    def compute(self, inputs: MetricInputs) -> np.ndarray:
        """Return (Q,) values from the inputs."""
        return self.of_hits(inputs.lists.hits_QK, inputs.lists.n_targets_Q, inputs.k)
