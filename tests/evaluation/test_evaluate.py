"""From lists to an evaluation: averaging, slices, refusals, files."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from crossrec.config import validate
from crossrec.data.item_table import BEHAVIOUR, CONTENT, ItemTable, VectorSpace
from crossrec.data.splits.base import Queries
from crossrec.evaluation.config import EvaluationConfig
from crossrec.evaluation.evaluate import evaluate_lists
from crossrec.evaluation.matching import match_targets
from crossrec.evaluation.metrics import AGGREGATE, METRICS, PER_QUERY
from crossrec.evaluation.metrics.base import MetricInputs
from crossrec.evaluation.results import Evaluation
from crossrec.types import ABSENT, ConfigError, Sequences, TopK

CONFIG = EvaluationConfig(ks=(2,), n_bootstrap=50, short_history=1)


def facts() -> ItemTable:
    rng = np.random.default_rng(0)
    spaces = {space: rng.normal(size=(6, 4)) for space in (CONTENT, BEHAVIOUR, "text", "image")}
    return ItemTable(
        np.array([8, 4, 2, 1, 1, 0]),
        csr_matrix(np.eye(6)[:, [0, 1, 2, 0, 1, 2]][:, :3]),
        {name: VectorSpace(vectors_ND, np.ones(6, dtype=bool)) for name, vectors_ND in spaces.items()},
    )


def top(rows: list[list[int]]) -> TopK:
    return TopK(np.array(rows), np.zeros((len(rows), len(rows[0])), np.float32))


# User 7 asks twice, user 3 once; item 5 has no training click.
QUERIES = Queries(np.array([7, 7, 3]), np.array([1, 2, 1]), Sequences.from_lists([[1], [5, 2], [4]]))
HISTORIES = Sequences.from_lists([[0], [0, 1], [0]])
LISTS = top([[1, 2], [3, 5], [2, 1]])


def evaluate(lists: TopK = LISTS, config: EvaluationConfig = CONFIG) -> Evaluation:
    return evaluate_lists(lists, QUERIES, HISTORIES, facts(), config, "leave-last-2-out")


def inputs(known: ItemTable, rows: np.ndarray) -> MetricInputs:
    targets, histories = QUERIES.targets.take(rows), HISTORIES.take(rows)
    return MetricInputs(match_targets(LISTS.ids[rows], targets, histories, 6), known, 2)


def test_every_metric_is_registered_once_and_reported() -> None:
    assert set(METRICS) == PER_QUERY.keys() | AGGREGATE.keys()
    assert not PER_QUERY.keys() & AGGREGATE.keys()
    found = evaluate()
    assert list(found.metrics) == [f"{name}@2" for name in METRICS]
    assert found.left_out == {}


@pytest.mark.parametrize("name", PER_QUERY)
def test_a_query_s_value_depends_on_its_own_list_alone(name: str) -> None:
    known = facts()
    together = PER_QUERY[name](inputs(known, np.arange(3)))
    assert together.shape == (3,)
    for row in range(3):
        alone = PER_QUERY[name](inputs(known, np.array([row])))
        np.testing.assert_allclose(alone, together[[row]], rtol=1e-12)


def test_unknown_metrics_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'ndgc'; did you mean 'ndcg'"):
        validate(EvaluationConfig, {"metrics": ["ndgc"]}, "test")


def test_users_weigh_the_same_however_many_queries_they_have() -> None:
    found = evaluate()
    # Recall: user 7 has (1 + 1/2) / 2, user 3 has 0.
    assert found.metrics["recall@2"]["value"] == pytest.approx(0.375)
    assert found.n_users == 2
    assert found.n_queries == 3
    assert found.per_user["user"].to_list() == [7, 3]
    assert found.per_user["n_queries"].to_list() == [2, 1]
    assert found.per_user["recall@2"].to_list() == [0.75, 0.0]
    assert "leave-last-2-out" in found.protocol
    assert "seen items excluded" in found.protocol


def test_slices() -> None:
    slices = evaluate().slices
    cold = slices["cold_items"]
    assert (cold["n_users"], cold["n_queries"]) == (1, 1)
    assert cold["recall@2"]["value"] == 1.0
    assert cold["mrr@2"]["value"] == 0.5
    # Head (80 % of 16 clicks): items 0, 1 and 2; tail targets: 5 and 4.
    tail = slices["tail_items"]
    assert (tail["n_users"], tail["n_queries"]) == (2, 2)
    assert tail["recall@2"]["value"] == 0.5
    short = slices["short_histories"]
    assert (short["n_users"], short["n_queries"]) == (2, 2)
    assert short["recall@2"]["value"] == 0.5
    assert "full catalogue" in cold["note"]


def test_an_empty_slice_has_no_value() -> None:
    warm = facts().with_counts(np.ones(6, dtype=int))
    cold = evaluate_lists(LISTS, QUERIES, HISTORIES, warm, CONFIG).slices["cold_items"]
    assert cold["n_queries"] == 0
    assert np.isnan(cold["recall@2"]["value"])


def test_all_metrics_of_a_stored_run_of_0_1_stand_for_all_there_are_now() -> None:
    stored = [name for name in METRICS if name != "ild_behaviour"]
    assert EvaluationConfig(metrics=tuple(stored)) == EvaluationConfig()
    assert EvaluationConfig(metrics=tuple(stored[1:])).metrics == tuple(stored[1:])


def test_metrics_without_their_data_are_left_out_by_name() -> None:
    bare = ItemTable(np.ones(6), csr_matrix((6, 0)))
    found = evaluate_lists(LISTS, QUERIES, HISTORIES, bare, CONFIG)
    assert found.left_out.keys() == {
        "ild_category", "jaccard", "calibration", "alpha_ndcg", "ild", "ild_text", "ild_image",
        "ild_behaviour", "eild"
    }  # fmt: skip
    assert "ild@2" not in found.metrics
    assert "recall@2" in found.metrics


def test_lists_of_absent_items_only() -> None:
    found = evaluate(top([[ABSENT, ABSENT]] * 3))
    assert found.metrics["ndcg@2"]["value"] == 0
    assert found.metrics["coverage@2"]["value"] == 0
    assert np.isnan(found.metrics["ild@2"]["value"])
    assert found.metrics["ild@2"]["n_users"] == 0
    assert found.counts["empty_lists"] == found.counts["short_lists"] == 3


def test_targets_that_are_excluded_as_seen_are_counted() -> None:
    repeat = Queries(QUERIES.users, QUERIES.ends, Sequences.from_lists([[0], [5], [4]]))
    assert evaluate_lists(LISTS, repeat, HISTORIES, facts(), CONFIG).counts["unreachable_targets"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1, 2], [3, 5]], "lists of shape .* for 3 queries"),
        ([[1], [3], [2]], "have 1 places, but ks asks for 2"),
        ([[1, 2], [3, 6], [2, 1]], "query 1 has item 6 at rank 2"),
        ([[1, 2], [3, 5], [2, -2]], "query 2 has item -2"),
        ([[1, 2], [3, 3], [2, 1]], "query 1 has item 3 more than once"),
        ([[1, 2], [3, 1], [2, 1]], "query 1, item 1, rank 2"),
    ],
    ids=["too-few", "too-short", "unknown", "negative", "twice", "seen"],
)
def test_lists_that_do_not_fit_are_refused(rows: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(top(rows))


def test_seen_items_may_stand_in_lists_where_the_protocol_allows_them() -> None:
    allowed = CONFIG.model_copy(update={"exclude_seen": False})
    assert "seen items allowed" in evaluate(top([[0, 1], [3, 5], [2, 1]]), allowed).protocol


def test_no_queries_is_an_error() -> None:
    nobody = Queries(np.zeros(0, int), np.zeros(0, int), Sequences.from_lists([]))
    with pytest.raises(ValueError, match="no queries"):
        evaluate_lists(TopK(np.zeros((0, 2), int), np.zeros((0, 2))), nobody, nobody.targets, facts(), CONFIG)


def test_files_hold_what_was_found(tmp_path: Path) -> None:
    found = evaluate(top([[1, 2], [3, ABSENT], [2, 1]]))
    user_ids = np.array([f"u{i}" for i in range(8)], dtype=object)
    found.save(tmp_path / "test", user_ids)
    summary = json.loads((tmp_path / "test" / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert summary["ndcg@2"]["value"] == found.metrics["ndcg@2"]["value"]
    assert summary["ndcg@2"]["ci95"] is None  # two users
    assert len(summary["coverage@2"]["ci95"]) == 2
    assert summary["n_users"] == 2
    assert summary["protocol"] == found.protocol
    assert pl.read_parquet(tmp_path / "test" / "per_user.parquet")["user_id"].to_list() == ["u7", "u3"]
    assert sorted(p.name for p in (tmp_path / "test").iterdir()) == ["metrics.json", "per_user.parquet"]

    again = Evaluation.load(tmp_path / "test")
    assert str(again.metrics) == str(found.metrics)  # as text, in which NaN equals NaN
    assert str(again.slices) == str(found.slices)
    assert again.per_user.drop("user_id").equals(found.per_user)
    assert (again.counts, again.n_queries, again.protocol) == (found.counts, 3, found.protocol)


def test_an_interval_that_does_not_exist_is_null_in_the_file(tmp_path: Path) -> None:
    found = evaluate(top([[3, 4], [3, 4], [3, 4]]))
    assert np.isnan(found.metrics["coverage@2"]["ci95"]).all()  # nothing is shown to one user alone
    found.save(tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text())["coverage@2"]["ci95"] is None
    assert np.isnan(Evaluation.load(tmp_path).metrics["coverage@2"]["ci95"]).all()


def test_loading_from_an_empty_folder_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metrics\.json does not exist"):
        Evaluation.load(tmp_path)


@pytest.mark.parametrize(
    "content", [{"ks": []}, {"ks": [0]}, {"ks": [5, 5]}, {"metrics": ["ndgc"]}, {"metrics": []}, {"k": 10}]
)
def test_config_refuses_nonsense(content: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(content))):
        validate(EvaluationConfig, content, "x.yaml")


def test_config_sorts_lengths() -> None:
    assert EvaluationConfig(ks=(20, 5)).ks == (5, 20)
