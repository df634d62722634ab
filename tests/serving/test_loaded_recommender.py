"""Lists of a loaded recommender: the model's own, filtered, reranked, with modalities hidden, in bulk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch

from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import read_run
from crossrec.model.recommender import NeuralRecommender
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError, Sequences

HISTORY = ["i2", "i6", "i10"]


@pytest.fixture(scope="module")
def prepared(run_folder: Path) -> PreparedExperiment:
    return PreparedExperiment.of(read_run(run_folder, []))


def scores_of(shop: LoadedRecommender, history: list[str]) -> np.ndarray:
    rows = [shop.index(item_id) for item_id in history]
    return shop.recommender.score(Sequences.from_lists([rows]))[0].numpy()


def test_lists_are_the_models_own(shop: LoadedRecommender) -> None:
    for user_id in shop.user_ids[:5]:
        history = shop.history_of(user_id)
        rows = Sequences.from_lists([[shop.index(item_id) for item_id in history]])
        own = shop.recommender.recommend(rows, 7, exclude=rows)
        for found in (shop.recommend(user_id=user_id, k=7), shop.recommend(history, k=7)):
            assert [place.row for place in found] == own.ids[0].tolist()
            np.testing.assert_allclose(found.scores, own.scores[0], atol=1e-5)
            assert [place.rank for place in found] == list(range(1, 8))
            assert not set(found.item_ids) & set(history)
    many = shop.recommend_many([["i1"], ["i2", "i3"]], k=4)
    assert [one.item_ids for one in many] == [shop.recommend(h, k=4).item_ids for h in (["i1"], ["i2", "i3"])]


def test_a_users_history_holds_all_clicks(shop: LoadedRecommender, prepared: PreparedExperiment) -> None:
    clicks = prepared.data.clicks
    assert list(shop.user_ids) == clicks.user_ids.tolist()
    last = prepared.data.split.test
    for row, end in zip(last.users[:5], last.ends[:5], strict=True):
        history = shop.history_of(clicks.user_ids[row])
        assert len(history) == clicks.sequences.lengths[row] > end


def test_seen_items_may_be_asked_for(shop: LoadedRecommender) -> None:
    everything = shop.recommend(HISTORY, k=1000, exclude_seen=False)
    assert sorted(everything.item_ids) == sorted(shop.item_ids)
    assert len(shop.recommend(HISTORY, k=1000)) == shop.n_items - len(HISTORY)


@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ([{"column": "brand", "equals": "brand 1"}], lambda i: i % 3 == 1 and i != 7),
        ([{"column": "brand", "one_of": ["brand 0", "brand 2"]}], lambda i: i % 3 != 1 and i != 7),
        ([{"column": "price", "maximum": 9.0}], lambda i: i <= 9 and i != 6),
        ([{"column": "price", "minimum": 5, "maximum": 9}], lambda i: 5 <= i <= 9 and i != 6),
        ([{"column": "stock", "equals": 12}], lambda i: i == 12),
        ([{"column": "categories", "equals": "red"}], lambda i: i % 4 == 0),
        ([{"column": "categories", "one_of": ["kind 1", "blue"]}], lambda i: i % 5 == 1 or i % 4 == 1),
        ([{"column": "title", "minimum": "Thing 8"}], lambda i: f"Thing {i}" >= "Thing 8"),
        (
            [{"column": "categories", "equals": "kind 1"}, {"column": "price", "minimum": 20}],
            lambda i: i % 5 == 1 and i >= 20,
        ),
        ([{"column": "categories", "equals": "nothing like it"}], lambda i: False),
    ],
)
def test_filters_are_exact_and_leave_lists_full(shop: LoadedRecommender, rules: Any, passes: Any) -> None:
    scores = scores_of(shop, HISTORY)
    seen = {shop.index(item_id) for item_id in HISTORY}
    may = [i for i in range(shop.n_items) if passes(i) and i not in seen]
    expected = sorted(may, key=lambda i: (-scores[i], i))[:6]
    assert [place.row for place in shop.recommend(HISTORY, k=6, filters=rules)] == expected
    # Reranking sees a pool of items that pass.
    reranked = shop.recommend(HISTORY, k=6, filters=rules, rerank="mmr")
    assert len(reranked) == len(expected)
    assert {place.row for place in reranked} <= set(may)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"column": "brant", "equals": "x"}, "did you mean 'brand'"),
        ({"column": "brand"}, "exactly one test"),
        ({"column": "brand", "equals": "x", "minimum": "y"}, "exactly one test"),
        ({"column": "brand", "equals": 3}, "compared with a text"),
        ({"column": "price", "minimum": "cheap"}, "compared with a number"),
        ({"column": "categories", "minimum": "a"}, "no order"),
        ({"colum": "brand", "equals": "x"}, "did you mean 'column'"),
    ],
)
def test_filters_that_make_no_sense_are_named(shop: LoadedRecommender, rule: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        shop.recommend(HISTORY, filters=[rule])


def test_context_allows_what_the_reranker_of_that_name_allows(shop: LoadedRecommender) -> None:
    found = shop.recommend(HISTORY, k=5, context={"brand": "brand 2", "stock": 11})
    assert found.item_ids == ["i11"]
    rules = {"type": "context", "column": "brand", "allow": ["brand 2"]}
    by_reranker = shop.recommend(HISTORY, k=5, rerank={"stages": [rules], "candidates": 1000})
    assert shop.recommend(HISTORY, k=5, context={"brand": "brand 2"}).item_ids == by_reranker.item_ids
    with pytest.raises(InputError, match="no item has 'brand 9'"):
        shop.recommend(HISTORY, context={"brand": "brand 9"})


def test_item_features_are_those_of_an_experiment(
    shop: LoadedRecommender, prepared: PreparedExperiment
) -> None:
    expected, found = prepared.items_of(shop.recommender), shop.items.table
    np.testing.assert_array_equal(found.train_counts, expected.train_counts)
    torch.testing.assert_close(found.categories_NG, expected.categories_NG, rtol=0, atol=0)
    assert {"model", "text", "image", "content"} <= set(found.spaces) == set(expected.spaces)
    for space in expected.spaces:
        torch.testing.assert_close(found.unit(space), expected.unit(space))
    assert set(found.columns) == set(expected.columns)


@pytest.mark.parametrize(
    "rerank", ["run", "mmr", {"type": "dpp", "space": "model"}, {"stages": [{"type": "ssd"}]}]
)
def test_reranked_lists_are_those_of_the_run(
    shop: LoadedRecommender, prepared: PreparedExperiment, rerank: Any
) -> None:
    from crossrec.serving.lists import as_rerank

    config = as_rerank(rerank, prepared.config.rerank)
    assert config is not None
    wrapped = config.wrap(shop.recommender, prepared.items_of(shop.recommender), "reranked")
    rows = Sequences.from_lists([[shop.index(item_id) for item_id in HISTORY]])
    expected = wrapped.recommend(rows, 8, exclude=rows)
    assert [place.row for place in shop.recommend(HISTORY, k=8, rerank=rerank)] == expected.ids[0].tolist()


def test_hidden_modalities_count_as_missing(shop: LoadedRecommender) -> None:
    network = shop.recommender.network
    seen_text = shop.recommend(HISTORY, k=shop.n_items, modalities={"text"})
    encoder = network.items
    rows = torch.arange(shop.n_items)
    with torch.no_grad():
        features_KMD, present_KM = encoder.projected(rows)
        only_text = present_KM & torch.tensor([name == "text" for name in encoder.modalities])
        vectors = encoder.fusion(features_KMD, only_text)
    normalised = torch.nn.functional.normalize(vectors, dim=-1)
    other = NeuralRecommender(network)
    other._vectors_ND = normalised
    clicks = Sequences.from_lists([[shop.index(item_id) for item_id in HISTORY]])
    expected = other.recommend(clicks, shop.n_items, exclude=clicks)
    assert [place.row for place in seen_text] == [row for row in expected.ids[0].tolist() if row >= 0]
    np.testing.assert_allclose(seen_text.scores, expected.scores[0][: len(seen_text)], atol=1e-5)
    # Items without text all look alike, and unlike what they are with everything in view.
    scores = {place.item_id: place.score for place in seen_text}
    assert scores["i4"] == scores["i5"]
    everything = shop.recommend(HISTORY, k=shop.n_items, modalities={"id", "text", "image"})
    assert everything.scores == shop.recommend(HISTORY, k=shop.n_items).scores
    assert seen_text.item_ids != everything.item_ids


@pytest.mark.parametrize("modalities", [set(), {"sound"}, {"text", "sound"}])
def test_modalities_that_are_not_there_are_named(shop: LoadedRecommender, modalities: set[str]) -> None:
    with pytest.raises(InputError, match="'text', 'image', 'id'"):
        shop.recommend(HISTORY, modalities=modalities)


@pytest.mark.parametrize("space", ["model", "text", "image", "content", "behaviour"])
def test_similar_items_by_cosine(shop: LoadedRecommender, space: str) -> None:
    found = shop.similar("i8", k=shop.n_items, space=space)
    vectors = shop.embeddings(space).vectors.astype(np.float64)
    assert vectors.shape[0] == shop.n_items
    length = np.linalg.norm(vectors, axis=1)
    known = [i for i in range(shop.n_items) if length[i] > 0 and i != 8]
    cosine = {i: vectors[i] @ vectors[8] / (length[i] * length[8]) for i in known}
    assert {place.row for place in found} == set(known)
    np.testing.assert_allclose(found.scores, sorted(cosine.values(), reverse=True), atol=1e-5)


def test_an_item_without_a_vector_has_no_neighbours(shop: LoadedRecommender) -> None:
    with pytest.raises(InputError, match="'i5' has no vector in the space 'text'"):
        shop.similar("i5", space="text")
    with pytest.raises(InputError, match="there are"):
        shop.similar("i5", space="sound")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda s: s.recommend(), "one of history, user_id, users and histories"),
        (lambda s: s.recommend(HISTORY, user_id="u1"), "one of history, user_id, users and histories"),
        (lambda s: s.recommend([]), "popular"),
        (lambda s: s.recommend("i2"), "not the text 'i2'"),
        (lambda s: s.recommend(["i2", "i3x"]), "'i3x' is not in the catalogue; near ids: .*i3"),
        (lambda s: s.recommend(user_id="u1000"), "'u1000' is not in the log"),
        (lambda s: s.recommend(HISTORY, k=0), "at least one"),
        (lambda s: s.recommend(HISTORY, rerank="mrr"), "did you mean 'mmr'"),
        (lambda s: s.recommend(HISTORY, times=[1.0]), "3 clicks came with 1 times"),
    ],
)
def test_what_can_not_be_asked_is_named(shop: LoadedRecommender, call: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        call(shop)


def test_popular_items_are_those_with_the_most_training_clicks(
    shop: LoadedRecommender, prepared: PreparedExperiment
) -> None:
    counts = prepared.data.split.train_counts
    found = shop.popular(5)
    assert found.scores == sorted(counts.tolist(), reverse=True)[:5]
    red = shop.popular(50, filters=[{"column": "categories", "equals": "red"}])
    assert {place.row % 4 for place in red} == {0}


def test_details_frame_and_cards(shop: LoadedRecommender) -> None:
    found = shop.recommend(HISTORY, k=3)
    details = found.details()
    assert [d["item_id"] for d in details] == found.item_ids
    assert list(details[0])[:7] == ["rank", "item_id", "score", "title", "text", "categories", "price"]
    assert details[0]["title"] == f"Thing {found[0].row}"
    frame = found.to_frame()
    assert frame["rank"].to_list() == [1, 2, 3]
    assert "image_path" not in frame.columns
    assert found[:2].item_ids == found.item_ids[:2]
    assert found._repr_html_().count("data:image/jpeg") == 3
    nothing = shop.recommend(HISTORY, filters=[{"column": "price", "minimum": 1e9}])
    assert nothing.details() == []


def test_embeddings_as_parquet(shop: LoadedRecommender, tmp_path: Path) -> None:
    embeddings = shop.embeddings()
    frame = pl.read_parquet(embeddings.to_parquet(tmp_path / "vectors.parquet"))
    assert frame["item_id"].to_list() == shop.item_ids
    np.testing.assert_array_equal(np.stack(frame["vector"].to_list()), embeddings.vectors)
    assert embeddings.vectors.dtype == np.float32


def test_lists_of_all_users_as_parquet(shop: LoadedRecommender, tmp_path: Path) -> None:
    path = shop.recommend_batch(tmp_path / "all.parquet", k=4, batch_size=16, rerank="mmr")
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups == -(-len(shop.user_ids) // 16)
    assert file.schema_arrow.names == ["user_id", "item_id", "rank", "score"]
    frame = pl.read_parquet(path)
    assert frame["user_id"].unique(maintain_order=True).to_list() == list(shop.user_ids)
    for user_id in shop.user_ids[::10]:
        rows = frame.filter(pl.col("user_id") == user_id)
        assert rows["item_id"].to_list() == shop.recommend(user_id=user_id, k=4, rerank="mmr").item_ids
        assert rows["rank"].to_list() == [1, 2, 3, 4]


def test_a_broken_batch_leaves_nothing(shop: LoadedRecommender, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'nobody'"):
        shop.recommend_batch(tmp_path / "all.parquet", user_ids=["u1", "nobody"], batch_size=1)
    assert list(tmp_path.iterdir()) == []
