"""Lists as files: round trip, foreign files, and what is wrong with a bad one."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from crossrec.data.item_table import ItemTable
from crossrec.data.splits.base import Queries
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.predictions import PredictionsError, load_predictions, save_recommendations
from crossrec.types import ABSENT, Sequences, TopK

ITEMS = ["a", "b", "007", "d"]
USERS = ["ann", "bob"]


def write(folder: Path, content: str) -> Path:
    path = folder / "lists.csv"
    path.write_text(content, encoding="utf-8")
    return path


def test_round_trip_gives_the_same_lists_and_metrics(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n_items, n_queries = 30, 12
    ids = np.stack([rng.permutation(n_items)[:5] for _ in range(n_queries)])
    ids[3, 2:] = ABSENT
    ids[4] = ABSENT
    scores = np.where(ids == ABSENT, -np.inf, -np.sort(-rng.normal(size=ids.shape))).astype(np.float32)
    lists = TopK(ids, scores)
    users = np.repeat([4, 0, 2], 4)
    targets = Sequences.from_lists(rng.integers(0, n_items, (n_queries, 2)))
    queries = Queries(users, np.zeros(n_queries, int), targets)
    user_ids = np.array([f"user {i}" for i in range(5)], dtype=object)
    item_ids = np.array([f"item {i}" for i in range(n_items)], dtype=object)
    path = tmp_path / "recommendations.parquet"
    save_recommendations(path, lists, queries, user_ids, item_ids)
    assert pl.read_parquet(path).columns == ["user_id", "query", "rank", "item_id", "score"]
    again = load_predictions(path, user_ids[users], item_ids)
    np.testing.assert_array_equal(again.ids, lists.ids)
    np.testing.assert_array_equal(again.scores, lists.scores)

    facts = ItemTable(rng.integers(0, 9, n_items), csr_matrix(np.eye(n_items)), {}, {})
    config = EvaluationConfig(ks=(3, 5), n_bootstrap=20)
    nothing = Sequences.from_lists([[]] * n_queries)
    first, second = (evaluate_lists(x, queries, nothing, facts, config) for x in (lists, again))
    assert str(first.metrics) == str(second.metrics)
    assert first.per_user.equals(second.per_user)
    assert first.counts["empty_lists"] == 1


def test_ranks_decide_and_gaps_stay_empty(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,rank,score\nbob,007,3,9\nbob,a,1,1\nann,d,1,5\n")
    lists = load_predictions(path, USERS, ITEMS)
    assert lists.ids.tolist() == [[3, ABSENT, ABSENT], [0, ABSENT, 2]]
    assert lists.scores[1].tolist() == [1, -np.inf, 9]


def test_scores_rank_with_ties_in_catalogue_order(tmp_path: Path) -> None:
    rows = "ann,d,0.5\nann,b,0.5\nann,a,0.9\nbob,007,1\n"
    lists = load_predictions(write(tmp_path, "user_id,item_id,score\n" + rows), USERS, ITEMS)
    assert lists.ids.tolist() == [[0, 1, 3], [2, ABSENT, ABSENT]]


def test_length_asked_for_cuts_and_pads(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,rank\nann,a,1\nann,b,2\nbob,a,1\n")
    assert load_predictions(path, USERS, ITEMS, k=1).ids.tolist() == [[0], [0]]
    assert load_predictions(path, USERS, ITEMS, k=3).ids.tolist() == [[0, 1, ABSENT], [0, ABSENT, ABSENT]]


def test_queries_without_a_list_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        lists = load_predictions(write(tmp_path, "user_id,item_id,rank\nbob,a,1\n"), USERS, ITEMS)
    assert lists.ids.tolist() == [[ABSENT], [0]]
    assert "1 of 2 queries have no list" in caplog.text


def test_integer_ids_of_another_tool_are_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    pl.DataFrame({"user_id": [2, 1], "item_id": [20, 10], "rank": [1.0, 1.0]}).write_parquet(path)
    assert load_predictions(path, ["1", "2"], ["10", "20"]).ids.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id,rank\nann,1\n", "lacks the column 'item_id'"),
        ("user_id,item_id\nann,a\n", "lacks the column 'rank' or 'score'"),
        ("user_id,item_id,rank,item_id\nann,a,1,b\n", "2 columns called 'item_id', in the places 2, 4"),
        ("user_id,item_id,rank\nann,a,1\neve,a,1\n", "1 users have no query .* 'eve'"),
        (
            "user_id,item_id,rank\nann,a,1\nann,zzz,2\n",
            "row 2: user 'ann', item_id 'zzz': it is not in the catalogue",
        ),
        ("user_id,item_id,rank\nann,a,1\nann,b,1\n", "row 1: user 'ann', rank '1': it is repeated"),
        ("user_id,item_id,rank\nann,a,1\nann,a,2\n", "item_id 'a': it is repeated"),
        ("user_id,item_id,rank\nann,a,0\n", "ranks go from 1 to 4"),
        ("user_id,item_id,rank\nann,a,first\n", "row 1: column 'rank' holds 'first'"),
        ("user_id,item_id,rank\nann,a,\n", "row 1: column 'rank' holds None"),
        ("user_id,item_id,score\nann,a,1\nann,b,nan\n", "row 2: column 'score' holds 'nan'"),
        ("user_id,query,item_id,rank\nann,1,a,1\n", "query '1': it belongs to another user"),
        ("user_id,query,item_id,rank\nann,2,a,1\n", "queries are numbered from 0 to 1"),
    ],
)
def test_a_bad_file_is_refused_with_its_row(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        load_predictions(write(tmp_path, content), USERS, ITEMS)


def test_fractional_ranks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "lists.parquet"
    pl.DataFrame({"user_id": ["ann"], "item_id": ["a"], "rank": [1.5]}).write_parquet(path)
    with pytest.raises(PredictionsError, match=r"row 1: column 'rank' holds 1\.5"):
        load_predictions(path, USERS, ITEMS)


def test_users_with_several_queries_need_the_column_query(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,rank\nann,a,1\n")
    with pytest.raises(PredictionsError, match="add a column 'query'"):
        load_predictions(path, ["ann", "ann"], ITEMS)


def test_missing_or_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match="no such predictions file"):
        load_predictions(tmp_path / "none.csv", USERS, ITEMS)
    with pytest.raises(PredictionsError, match=r"\.parquet or \.csv"):
        load_predictions(tmp_path / "lists.txt", USERS, ITEMS)
    broken = tmp_path / "lists.parquet"
    broken.write_text("not parquet")
    with pytest.raises(PredictionsError, match="can't be read as parquet"):
        load_predictions(broken, USERS, ITEMS)
