"""Settings of an evaluation."""

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


LONGEST_LIST = 10_000
"""Places; every list of an evaluation is held in memory."""

TestName = Literal["randomisation", "t"]


class EvaluationConfig(Config):
    """What is measured, and how.

    Args:
        ks: lengths at which the lists are cut; kept sorted.
        metrics: names without ``@k``; all by default. One whose data is missing is listed as left out.
        n_bootstrap: resamples of the users behind each interval of a per-user metric; 0 leaves all
            intervals out.
        seed: seed of the resampling.
        exclude_seen: items of a query's history are never recommended (and are refused in lists), so that
            they are no targets. Where false, a repeat click is a target that can be hit.
        tail_share: share of the training clicks that the tail holds. The head is the smallest set of
            most clicked items with ``1 - tail_share`` of all training clicks; all others are the tail
            (Abdollahpouri et al. 2019).
        short_history: a history of at most so many clicks is short.
        batch: most queries handed to a recommender at a time; it bounds its own memory.
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
        return metrics


class ComparisonConfig(Config):
    """How measured systems are compared.

    Args:
        metrics: with the lengths, such as ``ndcg@10``; those that exist of a usual choice when empty.
        diversity: metrics that are drawn against accuracy; all compared ones but accuracy's when empty.
        test: test of per-user metrics; exposure metrics have no per-user values and use the swap test.
        n_bootstrap: resamples of the users behind each interval of a per-user metric, and swaps behind each
            p of an exposure metric.
        n_permutations: number of permutations of the randomisation test.
        seed: seed of resamples and permutations.
    """

    metrics: tuple[str, ...] = ()
    diversity: tuple[str, ...] = ()
    test: TestName = "randomisation"
    n_bootstrap: int = Field(default=2000, ge=1, le=1_000_000)
    n_permutations: int = Field(default=10_000, ge=1, le=10_000_000)
    seed: int = Field(default=0, ge=0)
