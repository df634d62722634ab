"""The configuration of a study of an ensemble."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from crossrec.config import Config
from crossrec.ensemble.config import ALL_FUSIONS, LearningConfig, ListFusionConfig, Missing
from crossrec.evaluation.config import ComparisonConfig, MetricName


class EnsembleStudyConfig(Config):
    """An ensemble of finished runs and baselines.

    Args:
        members: run folders, ``name=folder``, or types of baselines such as ``item_knn``; a baseline takes
            the settings that stand in a run's ``baselines.json``, else its defaults.
        out: folder of the results.
        metric: of accuracy, that weights are learned for.
        learning: budget, length of the lists, halves, seed.
        fusions: ways of fusing that are tried; the one with the best cross-fitted value is taken.
        candidates: best items of each member that are looked at.
        missing: what a member's -inf means.
        tune: choose settings of baselines that no run has settings for on validation.
        comparison: test and intervals of the ensemble against its best member.
        device: where models run.
    """

    members: tuple[str, ...] = Field(min_length=1)
    out: Path
    metric: MetricName = "ndcg"
    learning: LearningConfig = LearningConfig()
    fusions: tuple[ListFusionConfig, ...] = Field(ALL_FUSIONS, min_length=1)
    candidates: int = Field(200, ge=1, le=100_000)
    missing: Missing = "lowest"
    tune: bool = False
    comparison: ComparisonConfig = ComparisonConfig()
    device: str = "auto"

    @field_validator("metric")
    @classmethod
    def _of_accuracy(cls, metric: MetricName) -> MetricName:
        from crossrec.evaluation.metrics import ACCURACY

        if metric not in ACCURACY:
            raise ValueError(f"weights are learned for a metric of accuracy, one of {', '.join(ACCURACY)}")
        return metric

    @property
    def metric_name(self) -> str:
        """Such as ``ndcg@10``."""
        return f"{self.metric}@{self.learning.k}"
