"""Evaluation from Python: recommenders, or lists of any origin, on the held-out clicks of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from crossrec.config import validate
from crossrec.data.fitted import name_of, require_split
from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import PreparedData
from crossrec.evaluation.comparison.systems import Measurement, System
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists, rank_queries
from crossrec.evaluation.predictions import lists_of_rows, recommendations_frame
from crossrec.experiment.results import (
    MeasuredRecommender,
    SplitPart,
    results_table,
    table_html,
    table_text,
)
from crossrec.runtime.progress import progress_bar
from crossrec.types import InputError, Recommender

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class EvaluationTable(Sequence[MeasuredRecommender]):
    """Evaluations of several recommenders on the same queries.

    Args:
        measured: recommenders with their lists and evaluations.
        data: data of the queries.
        part: evaluated split.
        k: longest list length, whose metrics are shown.
    """

    def __init__(
        self, measured: Sequence[MeasuredRecommender], data: PreparedData, part: SplitPart, k: int
    ) -> None:
        self.measured, self.data, self.part, self.k = tuple(measured), data, part, k

    def __getitem__(self, index: Any) -> Any:
        return self.measured[index]

    def __len__(self) -> int:
        return len(self.measured)

    def to_frame(self) -> pl.DataFrame:
        """Return one row per recommender and metric.

        Returns:
            ``recommender``, ``metric`` (such as ``ndcg@10``), ``value``, and ``low`` and ``high``, the
            ends of its 95 % interval over users; null where there is none.
        """
        rows = []
        for one in self.measured:
            for metric, estimate in one.evaluation.metrics.items():
                low, high = estimate.get("ci95") or (None, None)
                cells = [estimate["value"], low, high]
                rows.append((one.name, metric, *(None if v is None or v != v else float(v) for v in cells)))
        schema = {"recommender": pl.String, "metric": pl.String}
        numbers = dict.fromkeys(("value", "low", "high"), pl.Float64)
        return pl.DataFrame(rows, schema={**schema, **numbers}, orient="row")

    def plot(self, x: str | None = None, y: str | None = None) -> Figure:
        """Return a plot of one metric against another, with intervals.

        Args:
            x: metric of accuracy; ``ndcg`` at the longest length when None.
            y: metric of diversity; ``coverage`` at that length when None.

        Raises:
            InputError: if a metric was not measured.
        """
        from matplotlib.figure import Figure

        x, y = x or f"ndcg@{self.k}", y or f"coverage@{self.k}"
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        for one in self.measured:
            there = one.evaluation.metrics
            for metric in (x, y):
                if metric not in there:
                    raise InputError(f"'{metric}' was not measured; there are {', '.join(there)}")
            of_x, of_y = there[x], there[y]
            axes.errorbar(
                of_x["value"],
                of_y["value"],
                xerr=_span(of_x),
                yerr=_span(of_y),
                fmt="o",
                capsize=3,
                label=one.name,
            )
        axes.legend(fontsize="small")
        return figure

    def systems(self) -> list[System]:
        """Return the recommenders as systems of a comparison, each with one measurement."""
        data, queries = self.data, self.data.split.queries(self.part)
        user_ids, item_ids = data.clicks.user_ids, data.catalog.item_ids
        return [
            System(
                one.name,
                [
                    Measurement(
                        Path(one.name),
                        one.evaluation.with_user_ids(user_ids),
                        data.identity.measured_on(self.part),
                        recommendations_frame(one.lists, queries, user_ids, item_ids),
                    )
                ],
            )
            for one in self.measured
        ]

    def __repr__(self) -> str:
        return table_text(results_table(self.data, self.measured, self.part, self.k))

    def _repr_html_(self) -> str:
        return table_html(results_table(self.data, self.measured, self.part, self.k))


def evaluate(
    recommenders: Sequence[Any] | Mapping[str, Any],
    data: PreparedData,
    part: SplitPart = "test",
    *,
    items: ItemTable | None = None,
    **options: Any,
) -> EvaluationTable:
    """Measure recommenders on the held-out clicks of a data set, all on the same queries.

    Args:
        recommenders: recommenders of these data: fitted models and baselines, ensembles, or anything with
            ``recommend(histories, k, exclude)`` over catalogue indices; a data frame of lists (``user_id``,
            ``item_id``, ``rank`` or ``score``) counts as one too. A mapping names them.
        data: data with the split.
        part: ``test``, or ``valid`` for choices.
        items: features of the items, for diversity in vector spaces; those of the first recommender that has
            vectors when None.
        options: options of an evaluation, by their names in YAML, such as ``ks=[5, 10]``, ``metrics=["ndcg",
            "coverage"]`` and ``n_bootstrap=0``.

    Returns:
        A table with 95 % intervals over users.

    Raises:
        InputError: if there is no recommender, or one knows another number of items than the data have.
    """
    named = recommenders.items() if isinstance(recommenders, Mapping) else ((None, r) for r in recommenders)
    pairs = [(name, recommender) for name, recommender in named]
    if not pairs:
        raise InputError("evaluate: there is no recommender")
    config = validate(EvaluationConfig, options, "evaluate")
    queries, split = require_split(data).split.queries(part), data.split
    k = max(config.ks)
    if items is None:
        tables = (getattr(recommender, "items", None) for _, recommender in pairs)
        fitting = [t for t in tables if isinstance(t, ItemTable) and len(t) == len(data.catalog)]
        items = max(fitting, key=lambda table: len(table.spaces), default=data.item_table())
    measured: list[MeasuredRecommender] = []
    with progress_bar("evaluation", len(pairs)) as advance:
        for given, recommender in pairs:
            name = given or ("lists" if _is_frame(recommender) else name_of(recommender))
            if _is_frame(recommender):
                rows, users = pl.DataFrame(recommender), data.users(part)
                lists = lists_of_rows(rows, users, data.catalog.item_ids, k, where=name)
            else:
                inner = cast(Recommender, getattr(recommender, "recommender", recommender))
                if not hasattr(inner, "recommend"):
                    raise InputError(f"{inner!r} is not fitted: call its fit(data) first")
                if inner.n_items != len(data.catalog):
                    raise InputError(
                        f"{name} knows {inner.n_items:,} items, {data.name} has {len(data.catalog):,}: fit "
                        "it to these data"
                    )
                lists = rank_queries(inner, split, queries, k, config.exclude_seen, config.batch)
            evaluation = evaluate_lists(
                lists, queries, split.histories(queries), items, config, split.protocol
            )
            measured.append(MeasuredRecommender(name, lists, evaluation))
            advance(1)
    return EvaluationTable(measured, data, part, k)


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and not hasattr(value, "n_items")


def _span(estimate: Mapping[str, Any]) -> list[list[float]] | None:
    low, high = estimate.get("ci95") or (float("nan"), float("nan"))
    value = estimate["value"]
    return None if low != low else [[max(value - low, 0)], [max(high - value, 0)]]
