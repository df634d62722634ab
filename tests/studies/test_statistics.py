"""Resampled metrics against metrics of users copied out by hand, and the store of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.bootstrap import resample_weights
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.studies.folder import key_of
from crossrec.studies.statistics import resampled_metrics
from crossrec.studies.tradeoff.runs import PointStore
from crossrec.types import ABSENT, Sequences, TopK

N_ITEMS, N_USERS, K, N_RESAMPLES, SEED = 12, 6, 3, 40, 5


METRICS = ("ndcg", "ild_category", "coverage", "gini", "personalization")


@pytest.fixture(scope="module")
def case() -> tuple[np.ndarray, Queries, ItemTable]:
    rng = np.random.default_rng(0)
    users_Q = np.repeat(np.arange(N_USERS), 2)
    ids_QK = np.stack([rng.permutation(N_ITEMS)[:K] for _ in users_Q])
    targets = Sequences.from_lists([[int(rng.integers(N_ITEMS))] for _ in users_Q])
    categories = csr_matrix((rng.uniform(size=(N_ITEMS, 4)) < 0.4).astype(np.float32))
    facts = ItemTable(rng.integers(0, 9, N_ITEMS), categories)
    return ids_QK, Queries(users_Q, np.zeros(len(users_Q), np.int64), targets), facts


def values_of(ids_QK: np.ndarray, queries: Queries, facts: ItemTable) -> dict[str, float]:
    config = EvaluationConfig(ks=(K,), metrics=METRICS, n_bootstrap=0)
    histories = Sequences.from_lists([[] for _ in ids_QK])
    found = evaluate_lists(TopK(ids_QK, ids_QK * 0.0), queries, histories, facts, config)
    return {name: e["value"] for name, e in found.metrics.items()}


def test_resamples_are_metrics_of_the_drawn_users(case: tuple[np.ndarray, Queries, ItemTable]) -> None:
    ids_QK, queries, facts = case
    config = EvaluationConfig(ks=(K,), metrics=METRICS, n_bootstrap=0)
    histories = Sequences.from_lists([[] for _ in ids_QK])
    evaluation = evaluate_lists(TopK(ids_QK, ids_QK * 0.0), queries, histories, facts, config)
    found = resampled_metrics(
        evaluation, ids_QK, queries.users, METRICS, n_items=N_ITEMS, k=K, n_resamples=N_RESAMPLES, seed=SEED
    )
    weights_RU = np.concatenate(list(resample_weights(N_USERS, N_RESAMPLES, 1, SEED)))
    slow: dict[str, list[float]] = {m: [] for m in ("ndcg", "ild_category")}
    for weights_U in weights_RU.astype(int):
        rows = [2 * u + i for u in range(N_USERS) for _ in range(weights_U[u]) for i in (0, 1)]
        # Each copy is a user of its own.
        copies = np.repeat(np.arange(len(rows) // 2), 2)
        drawn = Queries(copies, queries.ends[rows], queries.targets.take(np.asarray(rows)))
        values = values_of(ids_QK[rows], drawn, facts)
        for name in slow:
            slow[name].append(values[f"{name}@{K}"])
    for name in ("ndcg", "ild_category"):
        value = evaluation.metrics[f"{name}@{K}"]["value"]
        # Widened: 2.57 is the end of Student's interval with 5 degrees of freedom, 1.96 a normal's.
        factor = np.sqrt(N_USERS / (N_USERS - 1)) * 2.570582 / 1.959964
        expected = value + factor * (np.asarray(slow[name]) - value)
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-7)
    for name in ("coverage", "gini", "personalization"):
        value = evaluation.metrics[f"{name}@{K}"]["value"]
        without_U = np.zeros(N_USERS)
        for user in range(N_USERS):
            kept = np.flatnonzero(queries.users != user)
            others = Queries(queries.users[kept], queries.ends[kept], queries.targets.take(kept))
            without_U[user] = values_of(ids_QK[kept], others, facts)[f"{name}@{K}"]
        # A user drawn once more moves the value as far as leaving the user out moves it back. The jackknife's
        # variance is 5/6 of the sum of squares; 2.57 is the end of Student's interval, 1.96 a normal's.
        moves_R = (weights_RU - 1) @ (without_U.mean() - without_U)
        widened = np.sqrt(5 / 6) * 2.570582 / 1.959964
        np.testing.assert_allclose(found[name] - value, moves_R * widened, rtol=1e-5, atol=1e-12)


def test_a_metric_that_leaving_out_one_user_takes_away_has_no_resamples() -> None:
    # All lists but one user's are empty: without that user there is no Gini.
    ids_QK = np.full((3, K), ABSENT)
    ids_QK[0] = [1, 2, 3]
    queries = Queries(np.arange(3), np.zeros(3, np.int64), Sequences.from_lists([[5]] * 3))
    facts = ItemTable(np.ones(N_ITEMS), csr_matrix((N_ITEMS, 0)), {}, {})
    histories = Sequences.from_lists([[] for _ in range(3)])
    config = EvaluationConfig(ks=(K,), metrics=("gini",), n_bootstrap=0)
    evaluation = evaluate_lists(TopK(ids_QK, ids_QK * 0.0), queries, histories, facts, config)
    found = resampled_metrics(
        evaluation, ids_QK, queries.users, ("gini",), n_items=N_ITEMS, k=K, n_resamples=40, seed=SEED
    )["gini"]
    assert np.isnan(found).all()


def test_points_are_there_after_a_restart_and_old_ones_can_go(tmp_path: Path) -> None:
    store = PointStore(tmp_path)
    store.add("a", {"part": "valid", "ndcg": 0.5})
    store.add("b", {"part": "test", "ndcg": float("nan")})
    again = PointStore(tmp_path)
    assert again.get("a") == {"key": "a", "part": "valid", "ndcg": 0.5}
    assert np.isnan((again.get("b") or {})["ndcg"])
    assert again.get("c") is None
    again.keep_only({"b"})
    assert pl.read_parquet(tmp_path / "points.parquet")["key"].to_list() == ["b"]


def test_a_key_hangs_on_content_not_on_its_order() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
