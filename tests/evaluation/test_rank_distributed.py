"""Two processes give one process's lists, on both of them, and so its metrics; they share buffers."""

from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from scipy.sparse import csr_matrix

from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.data.splits.base import Queries, Split
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists, rank_queries
from crossrec.runtime import distributed
from crossrec.runtime.ranking import recommend_by_score
from crossrec.types import Sequences, TopK

N_ITEMS = 40
K = 5


class ByHistory:
    """Scores depend on the history, with many ties."""

    n_items = N_ITEMS

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> torch.Tensor:
        sums = [int(histories.row(row).sum()) for row in range(len(histories))]
        return (torch.tensor(sums)[:, None] * torch.arange(1, N_ITEMS + 1) % 7).float()

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        return recommend_by_score(self, histories, k, exclude)


def split() -> Split:
    rng = np.random.default_rng(0)
    clicks = Sequences.from_lists([rng.permutation(N_ITEMS)[: 3 + user % 4] for user in range(23)])
    ends = clicks.lengths - 1
    targets = Sequences.from_lists([clicks.row(user)[-1:] for user in range(23)])
    queries = Queries(np.arange(23), ends, targets)
    return Split(clicks, ends, queries, queries, N_ITEMS, "leave-one-out", {})


def rank_in_pair(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    lists = rank_queries(ByHistory(), split(), split().test, K, batch=4)
    np.savez(Path(folder) / f"{rank}.npz", ids=lists.ids, scores=lists.scores)
    tables = torch.nn.Module()
    tables.register_buffer("present", torch.tensor([rank == 0, rank == 1]))
    tables.register_buffer("basis", torch.full((2, 2), float(rank)), persistent=False)
    distributed.share_buffers(tables)
    assert [buffer.tolist() for buffer in tables.buffers()] == [[True, False], [[0.0, 0.0], [0.0, 0.0]]]
    torch.distributed.destroy_process_group()


def values(lists: TopK) -> dict[str, float]:
    division = split()
    vectors = {CONTENT: np.random.default_rng(1).normal(size=(N_ITEMS, 4))}
    categories = csr_matrix(np.eye(6)[np.arange(N_ITEMS) % 6])
    facts = ItemTable(division.train_counts, categories, vectors)
    histories, config = division.histories(division.test), EvaluationConfig(ks=(K,), n_bootstrap=0)
    found = evaluate_lists(lists, division.test, histories, facts, config)
    return {name: entry["value"] for name, entry in found.metrics.items()}


def test_two_processes_equal_one(tmp_path: Path) -> None:
    alone = rank_queries(ByHistory(), split(), split().test, K, batch=4)
    torch.multiprocessing.spawn(rank_in_pair, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        saved = np.load(tmp_path / f"{rank}.npz")
        np.testing.assert_array_equal(saved["ids"], alone.ids)
        np.testing.assert_array_equal(saved["scores"], alone.scores)
        together = values(TopK(saved["ids"], saved["scores"]))
        assert together == pytest.approx(values(alone), abs=0)
        assert {"entropy@5", "gini@5", "ild@5", "ild_category@5", "coverage@5"} <= together.keys()
        assert together["coverage@5"] > 0
        assert together["ild@5"] > 0
