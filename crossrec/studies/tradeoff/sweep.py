"""Measurement of a study's points on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.metrics import AGGREGATE
from crossrec.evaluation.report.glossary import info
from crossrec.evaluation.results import Evaluation
from crossrec.experiment.results import SplitPart
from crossrec.rerank import RERANKERS
from crossrec.rerank.base import rerank_lists
from crossrec.studies.folder import key_of
from crossrec.studies.statistics import resampled_metrics
from crossrec.studies.tradeoff.config import UNRERANKED, TradeoffPoint
from crossrec.studies.tradeoff.runs import PointStore, Study, TrainedRun, data_key
from crossrec.types import TopK

Tick = Callable[[str], None]
"""Called with a point's label once it is measured."""


@dataclass(frozen=True)
class PointTable:
    """Metrics of V points for each of S seeds; NaN where a point was not measured.

    Args:
        variants: V points, the unreranked reference first.
        values: metric without ``@k`` -> (V, S).
        resampled: (variant, seed) -> metric -> (R,) values under resamples of the users; may be empty.
        upper: aggregate metric -> its largest possible value.
    """

    variants: list[TradeoffPoint]
    values: dict[str, np.ndarray]
    resampled: dict[tuple[int, int], dict[str, np.ndarray]]
    upper: dict[str, float] = field(default_factory=dict)

    def gains(self, metric: str) -> np.ndarray:
        """Return (V, S) gains relative to the reference of the same seed, 0.2 for 20 % better."""
        return relative_gain(metric, self.values[metric], self.values[metric][:1])

    def resampled_gains(self, metric: str, variant: int) -> np.ndarray:
        """Return (R,) the same under resamples of the users, the mean over seeds."""
        return np.asarray(np.mean([self.seed_gains(metric, variant, s) for s in self.seeds], axis=0))

    def seed_gains(self, metric: str, variant: int, seed: int) -> np.ndarray:
        """Return (R,) the same for one seed."""
        return relative_gain(metric, self.resampled[variant, seed][metric], self.resampled[0, seed][metric])

    @property
    def seeds(self) -> range:
        """Indices of the S seeds."""
        return range(next(iter(self.values.values())).shape[1])


def relative_gain(metric: str, values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return ``(value - reference) / |reference|``, negated if low values are better.

    NaN where the reference is 0.
    """
    sign = -1.0 if info(metric).higher_is_better is False else 1.0
    reference = np.broadcast_to(reference, values.shape)
    empty = np.full(values.shape, np.nan)
    return np.divide(sign * (values - reference), np.abs(reference), out=empty, where=reference != 0)


def sweep(
    study: Study,
    variants: Sequence[TradeoffPoint],
    wanted: Iterable[int],
    part: SplitPart,
    store: PointStore,
    tick: Tick,
    *,
    intervals: bool,
) -> tuple[PointTable, set[str]]:
    """Measure points on one part of the split.

    Args:
        study: opened study.
        variants: V points.
        wanted: indices of the points to measure.
        part: split to measure on.
        store: store of measured points; without intervals, points in it are not measured again.
        tick: function called after each point.
        intervals: whether to resample the users too.

    Returns:
        The table, and the keys of its points in the store.
    """
    settings = study.settings
    values: dict[str, np.ndarray] = {
        m: np.full((len(variants), study.n_seeds), np.nan) for m in settings.metrics
    }
    n_items = len(study.shared.data.catalog)
    upper: dict[str, float] = {m: AGGREGATE[m].upper(n_items) for m in settings.metrics if m in AGGREGATE}
    table = PointTable(list(variants), values, {}, upper)
    keys: set[str] = set()
    chosen = sorted(set(wanted))
    width = max([study.config.k, *(v.candidates for v in variants)])
    for label, runs in study.runs.items():
        for seed, run in enumerate(runs):
            ask = _Question(study, run, part, settings, width)
            for row in (i for i in chosen if variants[i].model == label):
                key = ask.key(variants[row])
                stored = store.get(key)
                if stored is None or intervals:
                    evaluation, lists = ask.measure(variants[row])
                    stored = ask.row(variants[row], evaluation)
                    store.add(key, stored)
                    if intervals:
                        table.resampled[row, seed] = ask.resample(evaluation, lists)
                keys.add(key)
                for metric in settings.metrics:
                    values[metric][row, seed] = stored[metric]
                tick(variants[row].label)
            run.release()
    return table, keys


@dataclass(frozen=True)
class _Question:
    """Measurement of one run's points on one part of the split."""

    study: Study
    run: TrainedRun
    part: SplitPart
    settings: EvaluationConfig
    width: int

    def key(self, variant: TradeoffPoint) -> str:
        """Return a digest of everything the point depends on."""
        stages = [RERANKERS.dump(stage) for stage in variant.stages]
        return key_of(
            {
                "weights": self.run.digest,
                "ground": data_key(self.study.shared),
                "part": self.part,
                "stages": stages,
                "types": [f"{type(stage).__module__}.{type(stage).__qualname__}" for stage in variant.stages],
                "candidates": variant.candidates,
                "evaluation": self.settings.model_dump(mode="json"),
            }
        )

    def measure(self, variant: TradeoffPoint) -> tuple[Evaluation, TopK]:
        """Return the point's lists and their measures."""
        study, part, k = self.study, self.study.parts[self.part], self.study.config.k
        width = min(self.width, len(study.shared.data.catalog))
        lists = _cut(self.run.candidates(part, width), max(variant.candidates, k))
        if variant.reranker == UNRERANKED:
            lists = _cut(lists, k)
        else:
            stages = [stage.build(self.run.items) for stage in variant.stages]
            lists = rerank_lists(lists, part.histories, stages, k, study.device)
        protocol, items = study.shared.data.split.protocol, study.shared.items
        return evaluate_lists(lists, part.queries, part.histories, items, self.settings, protocol), lists

    def resample(self, evaluation: Evaluation, lists: TopK) -> dict[str, np.ndarray]:
        """Return (R,) values by metric without ``@k``."""
        study = self.study
        return resampled_metrics(
            evaluation,
            lists.ids,
            study.parts[self.part].queries.users,
            self.settings.metrics,
            n_items=len(study.shared.data.catalog),
            k=study.config.k,
            n_resamples=study.config.n_bootstrap,
            seed=study.config.seed,
        )

    def row(self, variant: TradeoffPoint, evaluation: Evaluation) -> dict[str, Any]:
        """Return the point's row in the file of points."""
        end = f"@{self.study.config.k}"
        return {
            "part": self.part,
            "model": variant.model,
            "run": self.run.config.name,
            "seed": self.run.config.seed,
            "reranker": variant.reranker,
            "space": variant.space,
            "diversity": variant.strength,
            **{name.removesuffix(end): float(e["value"]) for name, e in evaluation.metrics.items()},
        }


def _cut(lists: TopK, width: int) -> TopK:
    if lists.ids.shape[1] <= width:
        return lists
    return TopK(np.ascontiguousarray(lists.ids[:, :width]), np.ascontiguousarray(lists.scores[:, :width]))
