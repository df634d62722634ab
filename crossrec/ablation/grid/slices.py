"""Measures of slices with a value a user, so that they are compared like all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from crossrec.ablation.grid.checks import split_slice
from crossrec.ablation.grid.config import Part
from crossrec.data.prepare import PreparedData
from crossrec.evaluation.comparison.compare import split_name
from crossrec.evaluation.comparison.systems import LISTS_FILE, Measurement
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.facts import ItemFacts, lay_against
from crossrec.evaluation.metrics import ACCURACY
from crossrec.evaluation.predictions import load_predictions
from crossrec.evaluation.slices import Slice, make_slices
from crossrec.evaluation.users import UserGroups


def with_slices(
    measured: Measurement,
    metrics: Sequence[str],
    data: PreparedData,
    part: Part,
    evaluation: EvaluationConfig,
) -> Measurement:
    """A measurement with a column of each slice's metric beside the others, NaN for users without one.

    Args:
        measured: of one run; its lists are read from its folder.
        metrics: such as ``cold_items:recall@10``; others are passed over.
        data: of the run.
        part: that was measured.
        evaluation: how.
    """
    wanted = [metric for metric in metrics if split_slice(metric)[0]]
    if not wanted:
        return measured
    split, queries = data.split, data.split.part(part)
    histories, n_items = split.histories(queries), len(data.catalog)
    facts = ItemFacts(split.train_counts, data.catalog.category_matrix, {}, {})
    slices = make_slices(queries, histories, facts, evaluation)
    user_ids = data.clicks.user_ids[queries.users]
    lists = load_predictions(
        measured.folder / LISTS_FILE, user_ids, data.catalog.item_ids, max(evaluation.ks)
    )
    groups = UserGroups.of(queries.users)
    columns = {"user_id": [str(user) for user in data.clicks.user_ids[groups.users]]}
    metrics_there = dict(measured.evaluation.metrics)
    for metric in wanted:
        name, base = split_slice(metric)
        own: Slice = slices[name]
        ranked = lay_against(lists.ids[own.rows], own.targets, histories.take(own.rows), n_items)
        accuracy, k = split_name(base)
        value_Q = np.full(len(queries), np.nan)
        value_Q[own.rows] = ACCURACY[accuracy](ranked.hits_QK, ranked.n_targets_Q, k)
        columns[metric] = groups.mean(value_Q).tolist()
        metrics_there[metric] = measured.evaluation.slices[name][base]
    frame = pl.DataFrame(columns, schema_overrides=dict.fromkeys(wanted, pl.Float64))
    per_user = measured.evaluation.per_user.join(frame, on="user_id", how="left", maintain_order="left")
    return replace(
        measured, evaluation=replace(measured.evaluation, per_user=per_user, metrics=metrics_there)
    )
