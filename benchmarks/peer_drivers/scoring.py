"""One scorer for the lists of all frameworks, and the numbers of a row of the table."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peer_drivers.contract import LISTS, RESULT

from crossrec.data.item_table import ItemTable
from crossrec.data.prepare import PreparedData
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.types import TopK

METRICS = ("ndcg", "recall", "coverage", "gini")


def score(lists_QK: np.ndarray, data: PreparedData) -> dict[str, float]:
    """Metrics of saved lists; users that a framework gave no list count with zero.

    Raises:
        ValueError: lists hold unknown, repeated or seen items.
    """
    k = lists_QK.shape[1]
    config = EvaluationConfig(ks=(k,), metrics=METRICS, n_bootstrap=0)
    facts = ItemTable(data.split.train_counts, data.catalog.category_matrix)
    queries = data.split.test
    lists = TopK(lists_QK, np.zeros(lists_QK.shape, np.float32))
    found = evaluate_lists(lists, queries, data.split.histories(queries), facts, config)
    return {name: float(estimate["value"]) for name, estimate in found.metrics.items()}


def summarise(folder: Path, data: PreparedData) -> dict[str, Any]:
    """What one run's files say: quality, seconds an epoch, users a second, memory.

    The first epoch warms up: where there are others, the median of those counts, and the first stands apart.
    Ranking counts at the number of users at a time that suits the framework best.
    """
    result = json.loads((folder / RESULT).read_text())
    if "error" in result:
        return {"error": result["error"]}
    lists = np.load(folder / LISTS)
    try:
        quality = score(lists, data)
    except ValueError as error:
        return {"error": f"its lists can't be scored: {error}"}
    epochs = result["epoch_seconds"]
    best_batch, seconds = min(
        ((batch, min(found)) for batch, found in result["rank_seconds"].items()), key=lambda pair: pair[1]
    )
    return {
        **quality,
        "epochs": len(epochs),
        "out_of_time": result["out_of_time"] and len(epochs) < result["request"]["epochs"],
        "first_epoch_seconds": epochs[0] if epochs else None,
        "epoch_seconds": median(epochs[1:] or epochs) if epochs else None,
        "training_seconds": sum(epochs),
        "rank_users_per_second": result["n_queries"] / seconds,
        "rank_batch": int(best_batch),
        "peak_rss_gb": result["peak_rss"][best_batch] / 1e9,
        "imports_rss_gb": result["peak_rss_imports"] / 1e9,
        **{key: result.get(key) for key in ("targets_per_epoch", "steps_per_epoch", "parameters")},
        **{key: result.get(key) for key in ("precision", "overrides", "note", "versions", "setup_seconds")},
    }
