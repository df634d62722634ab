"""A quota in the run's reranking: servers that share an account, and requests that can't configure it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crossrec
from crossrec.config import validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.training import run_training


@pytest.fixture(scope="module")
def run(id_shop: dict[str, Any]) -> Path:
    """A run whose model is trained for a moment, with a quota."""
    stage = {"type": "quota", "diversity": 1.0}
    content = {**id_shop, "name": "with-quota", "rerank": {"stages": [stage], "candidates": 20}}
    config = validate(ExperimentConfig, content, "test")
    run_training(config)
    return config.run_folder


def test_servers_share_the_account_and_requests_cannot_change_it(
    run: Path, serving: Callable[..., Any], tmp_path: Path
) -> None:
    account, lists = tmp_path / "exposure.sqlite", []
    request = {"history": ["i1", "i2"], "k": 5, "rerank": "run"}
    for _ in range(2):  # two servers, one after the other, or at once
        shop = crossrec.load(run)
        with serving(shop, exposure_account=account) as client:
            for _ in range(3):
                answer = client.post("/api/recommend", json=request).json()
                lists.append([place["item"]["item_id"] for place in answer["items"]])
            about = client.get("/api/model").json()
            assert about["run_rerank"] == "quota 1"
            assert "quota" not in {entry["type"] for entry in about["rerankers"]}
            own = {**request, "rerank": {"type": "quota", "diversity": 0.1}}
            assert client.post("/api/recommend", json=own).status_code == 422
    plain = crossrec.load(run).recommend(history=["i1", "i2"], k=5).item_ids
    assert [items[:4] for items in lists] == [plain[:4]] * 6
    # The last place goes to a new item each time, in both servers.
    assert len({items[4] for items in lists}) == 6
    with sqlite3.connect(account) as database:
        assert database.execute("SELECT sum(shown) FROM item").fetchone() == (30,)
        assert database.execute("SELECT lists FROM account").fetchone() == (6,)


def test_in_python_the_account_is_in_memory_until_it_gets_a_file(run: Path, tmp_path: Path) -> None:
    shop, path = crossrec.load(run), tmp_path / "exposure.sqlite"
    last = [shop.recommend(history=["i1"], k=5, rerank="run").item_ids[4] for _ in range(3)]
    assert len(set(last)) == 3
    shop.keep_exposure(path)
    assert shop.recommend(history=["i1"], k=5, rerank="run").item_ids[4] == last[0]
    other = crossrec.load(run)
    other.keep_exposure(path)
    assert other.recommend(history=["i1"], k=5, rerank="run").item_ids[4] == last[1]
