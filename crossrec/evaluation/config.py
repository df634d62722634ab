"""Options of evaluations and comparisons."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from crossrec.config import Config, nearest
from crossrec.evaluation.metrics import METRICS


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric '{name}'; {nearest(name, list(METRICS))}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]
"""A name in the table of metrics."""


ADDED: tuple[MetricName, ...] = ("ild_behaviour",)
"""Metrics added after 0.1. Runs store the metrics in full: all of 0.1 stand for all there are now."""


LONGEST_LIST = 10_000
"""Maximum length of a list; all lists of an evaluation are held in memory."""

TestName = Literal["randomisation", "t"]


class EvaluationConfig(Config):
    """Configuration of an evaluation.

    Args:
        ks: list lengths; sorted.
        metrics: names without ``@k``; all by default. Those with missing data are listed as left out.
        n_bootstrap: number of resamples of the users for intervals of per-user metrics; 0 omits all
            intervals.
        seed: seed of the resampling.
        exclude_seen: whether to exclude items of a query's history from lists (where they are rejected)
            and targets. If false, a repeat click is a target that can be hit.
        tail_share: share of the training clicks on tail items. The head is the smallest set of
            most clicked items with ``1 - tail_share`` of all training clicks; all others are the tail
            (Abdollahpouri et al. 2019).
        short_history: maximum length of a short history, clicks.
        batch: maximum number of queries passed to a recommender at a time; it bounds its own memory.
    """

    ks: tuple[int, ...] = (10,)
    metrics: tuple[MetricName, ...] = tuple(METRICS)
    n_bootstrap: int = Field(default=1000, ge=0, le=1_000_000)
    seed: int = Field(default=0, ge=0)
    exclude_seen: bool = True
    tail_share: float = Field(default=0.2, ge=0, le=1)
    short_history: int = Field(default=5, ge=0)
    batch: int = Field(default=65_536, ge=1)

    @property
    def repeats(self) -> bool:
        """Whether items of a query's history can be targets."""
        return not self.exclude_seen

    @field_validator("ks")
    @classmethod
    def _positive_and_distinct(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError(f"needs distinct list lengths of at least 1, such as [5, 10]; got {list(ks)}")
        if max(ks) > LONGEST_LIST:
            raise ValueError(f"lists have at most {LONGEST_LIST:,} places; got {max(ks):,}")
        return tuple(sorted(ks))

    @field_validator("metrics")
    @classmethod
    def _some_and_distinct(cls, metrics: tuple[MetricName, ...]) -> tuple[MetricName, ...]:
        if not metrics or len(set(metrics)) < len(metrics):
            raise ValueError(f"needs at least one metric, none of them twice; got {list(metrics)}")
        all_of_0_1 = tuple(name for name in METRICS if name not in ADDED)
        return tuple(METRICS) if metrics == all_of_0_1 else metrics


class ComparisonConfig(Config):
    """Configuration of a comparison of systems.

    Args:
        metrics: names with lengths, such as ``ndcg@10``; when empty, the available ones of a default choice.
        diversity: metrics plotted against accuracy; all compared ones but accuracy's when empty.
        test: test of per-user metrics; exposure metrics have no per-user values and use the swap test.
        n_bootstrap: number of resamples of the users for intervals of per-user metrics, and of swaps for
            each p of an exposure metric.
        n_permutations: number of permutations of the randomisation test.
        seed: seed of resamples and permutations.
    """

    metrics: tuple[str, ...] = ()
    diversity: tuple[str, ...] = ()
    test: TestName = "randomisation"
    n_bootstrap: int = Field(default=2000, ge=1, le=1_000_000)
    n_permutations: int = Field(default=10_000, ge=1, le=10_000_000)
    seed: int = Field(default=0, ge=0)
