"""The configuration of a study of what a large model does to diversity."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from crossrec.config import Config
from crossrec.evaluation.config import MetricName


class LargeModelConfig(Config):
    """A matched pair: the same items read by a small sequence model, and by a language model.

    Both train on the same data with the same loss and seeds; what differs is said by ``small`` and ``large``,
    and is listed in the results. Modalities, history, epochs and rates should be the same for both: if the
    pair differs in more than the sequence model, that is printed beside every table.

    Args:
        base: the experiment's configuration file.
        changes: overrides of it for both models.
        small: overrides of it for the small model.
        large: overrides of it for the large one.
        seeds: of both.
        ks: lengths of the lists.
        metrics: names without ``@k``.
        n_bootstrap: resamples of the users behind each interval.
        out: folder of the results and of the runs.
        device: where the trained models rank; training asks the launcher's environment.
    """

    base: Path
    changes: tuple[str, ...] = ()
    small: tuple[str, ...] = ("model.sequence.type=sasrec",)
    large: tuple[str, ...] = ("model.sequence.type=llm",)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    ks: tuple[int, ...] = Field((5, 10, 20, 50), min_length=1)
    metrics: tuple[MetricName, ...] = (
        "ndcg",
        "recall",
        "entropy",
        "gini",
        "coverage",
        "ild_category",
        "ild",
        "personalization",
        "tail_share",
    )
    n_bootstrap: int = Field(1000, ge=2, le=1_000_000)
    out: Path
    device: str = "auto"

    @field_validator("ks", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) < len(values) or min(values, default=1) < 0:
            raise ValueError(f"needs distinct values that are not negative; got {list(values)}")
        return tuple(sorted(values))

    @field_validator("ks")
    @classmethod
    def _at_least_one(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if min(ks, default=1) < 1:
            raise ValueError(f"a list has at least one place; got {list(ks)}")
        return ks
