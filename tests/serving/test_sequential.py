"""The recommender for use from Python: the figures of YAML, lists as frames, a folder that loads again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import crossrec as cr
from crossrec.config import validate
from crossrec.data.prepare import PreparedData
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.training import run_training
from crossrec.types import ConfigError, InputError

N_ITEMS = 40
SHOP = cr.Dataset({"item_id": ["a"]}, {"user_id": ["u"], "item_id": ["a"], "timestamp": [1_700_000_000]})
TRAINER: dict[str, Any] = {"epochs": 2, "batch_size": 16, "lr": 0.01}


@pytest.fixture(scope="module")
def frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Shoppers who go from item i to item i + 1."""
    generator = np.random.default_rng(0)
    items = pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(N_ITEMS)],
            "title": [f"Thing {item}" for item in range(N_ITEMS)],
            "categories": [f"kind {item % 5}" for item in range(N_ITEMS)],
            "price": [float(item) for item in range(N_ITEMS)],
        }
    )
    rows = []
    for user in range(60):
        start = int(generator.integers(0, N_ITEMS))
        steps = range(int(generator.integers(4, 12)))
        rows += [(f"u{user}", f"i{(start + s) % N_ITEMS}", 1_700_000_000 + 86_400 * s + user) for s in steps]
    return items, pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@pytest.fixture(scope="module")
def data(frames: tuple[pl.DataFrame, pl.DataFrame]) -> PreparedData:
    return cr.Dataset(*frames, name="shop").split("leave_one_out")


def unfitted(**options: Any) -> cr.SequentialRecommender:
    sequence = cr.SASRec(layers=1, max_length=8)
    return cr.SequentialRecommender(modalities={"id": cr.ItemId()}, sequence=sequence, width=16, **options)


@pytest.fixture(scope="module")
def model(data: PreparedData) -> cr.SequentialRecommender:
    return unfitted().fit(data, **TRAINER)


def test_yaml_gives_the_same_figures(
    frames: tuple[pl.DataFrame, pl.DataFrame],
    data: PreparedData,
    model: cr.SequentialRecommender,
    tmp_path: Path,
) -> None:
    for name, frame in zip(("items", "interactions"), frames, strict=True):
        frame.write_csv(tmp_path / f"{name}.csv")
    content = {
        "name": "yaml",
        "runs_dir": tmp_path,
        "data": {"source": {"type": "table"}, "root": tmp_path, "split": {"type": "leave_one_out"}},
        "model": {
            "text": None,
            "image": None,
            "item_id": True,
            "sequence": {"type": "sasrec", "layers": 1, "max_length": 8},
            "width": 16,
        },
        "trainer": TRAINER,
        "spaces": {"text": None, "image": None},
        "baselines": [{"type": "item_knn"}],
    }
    run_training(validate(ExperimentConfig, content, "test"), report=False)
    table = cr.evaluate([model, cr.ItemKNN().fit(data)], data).to_frame()
    for name, folder in ((model.name, "."), ("item-kNN BM25", "baselines/item-knn-bm25")):
        there = json.loads((tmp_path / "yaml" / "eval" / "test" / folder / "metrics.json").read_text())
        for row in table.filter(pl.col("recommender") == name).iter_rows(named=True):
            assert row["value"] == pytest.approx(there[row["metric"]]["value"], abs=1e-6), row["metric"]


def test_lists_are_frames_and_a_saved_folder_gives_the_same(
    model: cr.SequentialRecommender, tmp_path: Path
) -> None:
    lists = model.recommend(users=["u1", "u2"], k=5)
    assert lists.columns == ["user_id", "item_id", "rank", "score"]
    assert lists["user_id"].to_list() == ["u1"] * 5 + ["u2"] * 5
    assert lists["rank"].to_list() == [1, 2, 3, 4, 5] * 2
    of_all = model.recommend(k=5).filter(pl.col("user_id").is_in(["u1", "u2"]))
    assert of_all["item_id"].equals(lists["item_id"])
    history = model.loaded.history_of("u1")
    of_history = model.recommend(histories=[history], k=5)
    assert of_history["item_id"].to_list() == lists["item_id"].to_list()[:5]
    assert not {*history} & {*of_history["item_id"]}
    model.save(tmp_path / "mine")
    again = cr.load(tmp_path / "mine").recommend(users=["u1", "u2"], k=5)
    assert again["item_id"].to_list() == lists["item_id"].to_list()


def test_times_of_histories_are_read(data: PreparedData) -> None:
    sequence = cr.SASRec(layers=1, max_length=8, time_gaps=True)
    reads_times = cr.SequentialRecommender(modalities={"id": cr.ItemId()}, sequence=sequence, width=16)
    reads_times.fit(data, **TRAINER)
    history = ["i1", "i2", "i3"]
    near, far = [0, 60, 120], [0, 10_000_000, 400_000_000]
    both = reads_times.recommend(histories=[history, history], times=[near, far], k=5)
    scores = [group["score"].to_list() for _, group in both.group_by("user_id", maintain_order=True)]
    assert scores[0] != scores[1]
    alone = reads_times.loaded.recommend(history, times=far, k=5)
    assert scores[1] == pytest.approx(alone.scores, abs=1e-5)
    with pytest.raises(InputError, match="times belong to"):
        reads_times.recommend(users=["u1"], times=[near])


def test_all_users_take_the_same_options_as_some(model: cr.SequentialRecommender) -> None:
    options: dict[str, Any] = {"k": 3, "modalities": ["id"], "context": {"price": 7.0}, "exclude_seen": False}
    everybody = model.recommend(**options)
    assert set(everybody["item_id"]) == {"i7"}
    assert everybody["user_id"].to_list() == model.loaded.user_ids
    assert model.recommend(users=[], k=3).is_empty()


def test_a_reranker_is_given_as_a_component(model: cr.SequentialRecommender) -> None:
    plain = model.recommend(users=["u1"], k=8)
    diverse = model.recommend(users=["u1"], k=8, rerank=cr.MMR(diversity=0.9))
    assert plain["item_id"].to_list() != diverse["item_id"].to_list()
    assert model.recommend(users=["u1"], k=8, rerank=cr.MMR(diversity=0))["item_id"].equals(plain["item_id"])


@pytest.mark.parametrize("explore", [cr.EpsilonGreedy(epsilon=0.4), cr.PlackettLuce(), cr.ThompsonSampling()])
def test_explorers_draw_lists_with_their_probabilities(model: cr.SequentialRecommender, explore: Any) -> None:
    users = [f"u{user}" for user in range(30)]
    drawn = model.recommend(users=users, k=5, explore=explore, seed=1)
    assert drawn.columns == ["user_id", "item_id", "rank", "score", "propensity", "inclusion"]
    assert drawn.select("user_id", "item_id").is_unique().all()
    assert drawn.equals(model.recommend(users=users, k=5, explore=explore, seed=1))
    assert not drawn.equals(model.recommend(users=users, k=5, explore=explore, seed=2))
    assert not drawn["item_id"].equals(model.recommend(users=users, k=5)["item_id"])
    few = model.recommend(users=["u7", "u3"], k=5, explore=explore, seed=1)
    assert_frame_equal(few, pl.concat([drawn.filter(pl.col("user_id") == user) for user in ("u7", "u3")]))
    if explore == cr.ThompsonSampling():
        assert drawn["propensity"].null_count() == len(drawn), "unknown without samples"
    else:
        assert drawn["propensity"].is_between(0, 1, closed="right").all()
        assert (drawn["inclusion"] - drawn["propensity"] > -1e-9).all()


def test_an_explorer_takes_its_candidates_from_rerankers_and_filters(
    data: PreparedData, model: cr.SequentialRecommender
) -> None:
    greedy, rerank = cr.EpsilonGreedy(epsilon=0), cr.MMR(diversity=0.9)
    for recommender in (model, cr.ItemKNN().fit(data)):
        plain = recommender.recommend(users=["u1", "u2"], k=6, rerank=rerank)
        drawn = recommender.recommend(users=["u1", "u2"], k=6, rerank=rerank, explore=greedy)
        assert drawn["item_id"].equals(plain["item_id"])
        assert drawn["propensity"].to_list() == [1.0] * len(drawn)
    drawn = model.recommend(
        histories=[["i1"]], k=3, explore="epsilon_greedy", filters=[{"column": "price", "maximum": 8}]
    )
    assert all(int(item[1:]) <= 8 for item in drawn["item_id"])


def test_a_stopped_training_is_resumed_in_its_folder(
    data: PreparedData, model: cr.SequentialRecommender, tmp_path: Path
) -> None:
    first = unfitted().fit(data, folder=tmp_path / "try", **TRAINER)
    again = unfitted().fit(data, folder=tmp_path / "try", **TRAINER)
    of_first, of_again = (one.recommend(users=["u1"]) for one in (first, again))
    assert of_first["score"].to_list() == pytest.approx(of_again["score"].to_list(), abs=1e-6)
    assert first.recommend(users=["u1"])["item_id"].equals(model.recommend(users=["u1"])["item_id"])
    with pytest.raises(ConfigError, match="another configuration"):
        unfitted().fit(data, folder=tmp_path / "try", **{**TRAINER, "lr": 0.5})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda data: cr.SequentialRecommender(widht=3), ConfigError, "did you mean 'width'"),
        (lambda data: cr.SASRec(layer=3), ConfigError, "SASRec: .*did you mean 'layers'"),
        (lambda data: unfitted().fit(data, epoch=3), ConfigError, "fit: .*did you mean 'epochs'"),
        (lambda data: unfitted().recommend(users=["u1"]), InputError, "call fit"),
        (lambda data: cr.ItemKNN(5), TypeError, "takes options by name only"),
        (lambda data: cr.ItemKNN().fit(data).recommend(users=["nobody"]), InputError, "user 'nobody'"),
        (lambda data: cr.ItemKNN().fit(data).recommend(histories=[["x"]]), InputError, "no item 'x'"),
        (lambda data: cr.Dataset({"id": ["a"]}, {"user_id": ["u"]}), InputError, "items has no column"),
        (lambda data: cr.Dataset([1, 2], {"user_id": ["u"]}), InputError, "items has no column"),
        (lambda data: cr.evaluate([], data), InputError, "no recommender"),
        (
            lambda data: cr.evaluate({"theirs": pl.DataFrame({"user_id": ["u1"], "rank": [1]})}, data),
            InputError,
            "theirs: lacks the column 'item_id'",
        ),
        (lambda data: cr.evaluate([cr.ItemKNN()], data), InputError, "is not fitted"),
        (
            lambda data: cr.evaluate([cr.ItemKNN().fit(data)], data, cast(Any, "train")),
            InputError,
            "valid or test",
        ),
        (lambda data: cr.ItemKNN().fit(data).recommend(users="u1"), InputError, "not the text 'u1'"),
        (lambda data: cr.ItemKNN().fit(data).recommend(rerank=cr.SASRec()), InputError, "takes a reranker"),
        (lambda data: cr.ItemKNN().fit(data).recommend(rerank="mmr"), InputError, "takes a reranker"),
        (
            lambda data: cr.ItemKNN().fit(data).recommend(explore=cr.MMR()),
            InputError,
            "takes an explorer with its options",
        ),
        (
            lambda data: cr.ItemKNN().fit(data).recommend(explore=cr.UCB()),
            InputError,
            "needs item vectors and queries",
        ),
        (
            lambda data: cr.ItemKNN().fit(data).recommend(explore=cr.EpsilonGreedy(), seed=-1),
            InputError,
            "seed=-1",
        ),
        (lambda data: cr.SequentialRecommender(sequence=cr.MMR()), ConfigError, "is no sequence model"),
        (lambda data: cr.SequentialRecommender(sequence=cr.SASRec), ConfigError, "not the class"),
        (
            lambda data: cr.SequentialRecommender(modalities={"text": cr.Text()}).fit(data),
            InputError,
            "no item has a modality that the model reads",
        ),
        (lambda data: unfitted().fit(cast(Any, SHOP)), InputError, "call its split"),
        (lambda data: cr.Nonesuch, AttributeError, "no attribute 'Nonesuch'"),
    ],
)
def test_wrong_input_is_named(data: PreparedData, make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(data)


def test_frames_of_all_kinds_give_the_same_data(frames: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    items, clicks = frames
    kinds = [
        (items, clicks),
        (items.to_arrow(), clicks.to_arrow()),
        (items.lazy(), clicks.to_dict(as_series=False)),
    ]
    digests = {cr.Dataset(*kind).split("leave_one_out").identity.of_part("test") for kind in kinds}
    assert len(digests) == 1


def test_an_ensemble_and_lists_from_elsewhere_are_evaluated(
    data: PreparedData, model: cr.SequentialRecommender
) -> None:
    knn = cr.ItemKNN().fit(data)
    both = cr.Ensemble({"model": model, "knn": knn}, {"model": 0.5, "knn": 0.5})
    queries = data.split.test
    lists = knn.recommender.recommend(data.split.histories(queries), 10, data.split.histories(queries))
    rows, places = np.nonzero(lists.ids >= 0)
    theirs = pl.DataFrame(
        {
            "user_id": data.clicks.user_ids[queries.users][rows].astype(str),
            "item_id": data.catalog.item_ids[lists.ids[rows, places]].astype(str),
            "rank": places + 1,
        }
    )
    table = cr.evaluate({"model": model, "knn": knn, "both": both, "theirs": theirs}, data)
    values = {(row[0], row[1]): row[2] for row in table.to_frame().iter_rows()}
    assert values["theirs", "ndcg@10"] == pytest.approx(values["knn", "ndcg@10"], abs=1e-12)
    assert len({values[name, "ndcg@10"] for name in ("model", "knn", "both")}) == 3
    assert "item-kNN" not in repr(table)
    assert "knn" in repr(table)
    assert table._repr_html_().count("<tr>") == 5
    assert table.plot("recall@10", "gini@10").axes[0].get_xlabel() == "recall@10"
    frame = cr.FittedRecommender(both, data).recommend(users=["u1"], k=3, rerank=cr.GreedyDPP(diversity=0.3))
    assert len(frame) == 3


def test_recommenders_are_compared(
    data: PreparedData, model: cr.SequentialRecommender, tmp_path: Path
) -> None:
    table = cr.evaluate({"model": model, "knn": cr.ItemKNN().fit(data)}, data)
    found = cr.compare(table, metrics=["ndcg@10", "gini@10"], n_bootstrap=200)
    values = {(row[0], row[1]): row[2] for row in table.to_frame().iter_rows()}
    frame = found.to_frame()
    assert frame["system"].to_list() == ["model", "knn"] * 2
    for row in frame.iter_rows(named=True):
        assert row["value"] == pytest.approx(values[row["system"], row["metric"]], abs=1e-9)
        if row["system"] == "knn":
            difference = values["knn", row["metric"]] - values["model", row["metric"]]
            assert row["difference"] == pytest.approx(difference, abs=1e-9)
            assert row["difference_low"] <= row["difference"] <= row["difference_high"]
            assert 0 < row["p"] <= row["p_holm"] <= 1
        else:
            assert row["difference"] is None
    assert "Differences from model" in found._repr_html_()
    assert found.write(tmp_path).stat().st_size > 10_000
    with pytest.raises(ConfigError, match="did you mean 'metrics'"):
        cr.compare(table, metric=["ndcg@10"])
    with pytest.raises(InputError, match="model has no metric 'ndgc@10'"):
        cr.compare(table, metrics=["ndgc@10"])


def test_every_component_is_public_and_prints_briefly() -> None:
    assert {"MMR", "SASRec", "ItemKNN", "GatedFusion", "TemporalSplitter"} <= {*dir(cr)}
    assert repr(cr.MMR(diversity=0.2)) == str(cr.MMR(diversity=0.2)) == "MMR(diversity=0.2)"
    assert cr.MMR(diversity=0.2) == cr.MMR.Options(diversity=0.2)
    assert repr(unfitted()) == "sasrec (id), not fitted"
