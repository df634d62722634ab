"""The server on a real, tiny run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import crossrec
from crossrec.cli.commands import main
from crossrec.cli.runs import serve
from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.loaded import LoadedRecommender
from crossrec.serving.training import run_training


@pytest.fixture(scope="module")
def shop(id_shop: dict[str, Any]) -> LoadedRecommender:
    """A model by ids, trained for a moment."""
    config = validate(ExperimentConfig, id_shop, "test")
    run_training(config)
    return crossrec.load(config.run_folder)


@pytest.fixture(scope="module")
def client(shop: LoadedRecommender, serving: Callable[..., Any]) -> Iterator[httpx.Client]:
    """A client of a server on it."""
    with serving(shop) as client:
        yield client


def test_lists_are_those_of_python(shop: LoadedRecommender, client: httpx.Client) -> None:
    for rerank in (None, {"type": "mmr", "diversity": 0.7}, {"type": "calibrated"}):
        for user_id in shop.user_ids[:5]:
            answer = client.post("/api/recommend", json={"user_id": user_id, "k": 7, "rerank": rerank})
            expected = shop.recommend(user_id=user_id, k=7, rerank=rerank)
            places = answer.json()["items"]
            assert [place["item"]["item_id"] for place in places] == expected.item_ids
            assert [place["score"] for place in places] == pytest.approx(expected.scores, abs=1e-5)


def test_filters_hold(client: httpx.Client) -> None:
    request = {"history": ["i1"], "k": 5, "filters": [{"column": "categories", "equals": "kind 2"}]}
    answer = client.post("/api/recommend", json=request).json()
    assert {tuple(place["item"]["categories"]) for place in answer["items"]} == {("kind 2",)}
    wrong = {"history": ["i1"], "filters": [{"column": "price", "equals": "cheap"}]}
    assert client.post("/api/recommend", json=wrong).status_code in (200, 422)


def test_everything_on_offer_can_be_had(client: httpx.Client) -> None:
    about = client.get("/api/model").json()
    assert about["modalities"] == ["id"]
    assert "ndcg@10" in about["metrics"]
    assert {entry["type"] for entry in about["rerankers"]} >= {"mmr", "dpp", "xquad", "popularity"}
    for entry in about["rerankers"]:
        for space in entry["spaces"] or [None]:
            rerank = {"type": entry["type"]} if space is None else {"type": entry["type"], "space": space}
            answer = client.post("/api/recommend", json={"history": ["i1", "i2"], "rerank": rerank})
            assert answer.status_code == 200, (rerank, answer.text)
    for space in about["spaces"]:
        assert client.get("/api/similar/i1", params={"space": space}).status_code == 200
    assert client.get("/api/similar/i1", params={"space": "text"}).status_code == 404


def test_an_explanation_is_had(client: httpx.Client) -> None:
    answer = client.post("/api/explain", json={"history": ["i1", "i2"], "item_id": "i8"})
    assert answer.status_code == 200, answer.text
    assert [item["item_id"] for item in answer.json()["history"]] == ["i1", "i2"]


def test_a_model_by_ids_takes_no_new_item_and_says_why(client: httpx.Client) -> None:
    answer = client.post("/api/items", data={"item_id": "n", "title": "x"})
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert client.get("/api/items/n").status_code == 404


def test_the_index_finds_the_model_s_own_lists(shop: LoadedRecommender, serving: Callable[..., Any]) -> None:
    with serving(shop, faiss_from=1, faiss_recall=1.0) as client:
        for user_id in shop.user_ids[:5]:
            answer = client.post("/api/recommend", json={"user_id": user_id}).json()
            assert answer["retrieval"] == "faiss"
            expected = shop.recommend(user_id=user_id)
            assert [place["item"]["item_id"] for place in answer["items"]] == expected.item_ids


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert serve([str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
    assert main(["serve", str(tmp_path), "--port", "70000"]) == 2
    assert "port" in capsys.readouterr().err
