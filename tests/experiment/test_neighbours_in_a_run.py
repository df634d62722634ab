"""Item-kNN inside a trained run: chosen once, saved with the weights, the same for every way of loading."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import crossrec
from crossrec.config import merge, validate
from crossrec.ensemble.retrievers import VectorRetriever
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import read_run
from crossrec.experiment.validation import check_choices, smallest_close
from crossrec.server.config import ServerConfig
from crossrec.server.lists import BatchOptions, ClickHistory, Lists
from crossrec.serving.training import run_training
from crossrec.types import InputError, Sequences


@pytest.fixture(scope="module")
def run(id_shop: dict[str, Any], tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by ids and texts, which tell the kinds; the last item has no click."""
    root, old = tmp_path_factory.mktemp("texts"), Path(id_shop["data"]["root"])
    items = pl.read_csv(old / "items.csv")
    words = ["dog puppy", "tax law", "red shirt", "blue shoe", "wool winter"]
    items.with_columns(text=pl.Series([words[i % 5] for i in range(len(items))])).write_csv(
        root / "items.csv"
    )
    log = pl.read_csv(old / "interactions.csv")
    log.filter(pl.col("item_id") != "i29").write_csv(root / "interactions.csv")
    changes = {
        "name": "mixed",
        "runs_dir": str(tmp_path_factory.mktemp("runs")),
        "data": {"root": str(root), "cache_dir": str(tmp_path_factory.mktemp("cache"))},
        "model": {"text": {"weights": str(tiny_bert), "max_tokens": 8, "precision": "fp32"}, "whiten": 8},
        "neighbours": {"item_knn": {"neighbours": 10}, "alike": 3},
    }
    config = validate(ExperimentConfig, merge(id_shop, changes), "test")
    run_training(config)
    return config.run_folder


def opened(run: Path, *overrides: str) -> PreparedExperiment:
    return PreparedExperiment.of(read_run(run, list(overrides)))


def histories() -> Sequences:
    return Sequences.from_lists([[3, 1, 4], [15, 9], [2]])


def test_the_choice_is_recorded_and_no_worse_on_validation(run: Path) -> None:
    chosen = json.loads((run / "data.json").read_text())["neighbours"]
    assert chosen["mixed"] >= chosen["alone"] > 0
    assert chosen["weight"] >= 0
    assert chosen["n_queries"] == 50
    scores = load_recommender(opened(run)).neighbours
    assert scores is not None
    assert scores.cold_share(30)[29] == 1
    assert scores.mixing[:, [29]].nnz > 0
    assert (scores.weight, scores.cold_bonus) == pytest.approx((chosen["weight"], chosen["cold_bonus"]))


def test_without_them_the_network_is_alone(run: Path) -> None:
    alone = load_recommender(opened(run, "neighbours=null"))
    assert alone.neighbours is None
    assert "item-kNN" not in alone.name
    with_them = load_recommender(opened(run))
    assert with_them.name == f"{alone.name} + item-kNN"
    assert not torch.equal(with_them.score(histories()), alone.score(histories()))


def test_scores_candidates_and_lists_agree(run: Path) -> None:
    recommender = load_recommender(opened(run))
    scores_BN = recommender.score(histories())
    added = recommender.added(histories())
    assert added is not None
    dots_BN = recommender.queries(histories()) @ recommender.item_vectors().T
    torch.testing.assert_close(scores_BN, dots_BN + added.dense())
    candidates = np.asarray([[0, 5, -1], [29, 3, 3], [7, 8, 9]])
    found_BK = recommender.score(histories(), candidates)
    assert found_BK[0, 2] == -torch.inf
    torch.testing.assert_close(found_BK[1], scores_BN[1, candidates[1]])
    lists = recommender.recommend(histories(), 5, histories())
    for row in range(3):
        seen = histories().row(row)
        masked_N = scores_BN[row].index_fill(0, torch.from_numpy(seen), -torch.inf)
        np.testing.assert_array_equal(lists.ids[row], masked_N.topk(5).indices.numpy())


def test_a_second_training_leaves_the_finished_run(run: Path) -> None:
    weights = run / "checkpoints" / "best" / "model.safetensors"
    before = weights.read_bytes()
    run_training(read_run(run, []))
    assert weights.read_bytes() == before


def test_a_shared_folder_gives_the_same_lists_and_new_items_a_start(run: Path, tmp_path: Path) -> None:
    shop = crossrec.load(run)
    shop.save_pretrained(tmp_path / "shared", with_users=True)
    shared = crossrec.load(tmp_path / "shared")
    frame, again = (s.recommend(users=s.user_ids, k=5) for s in (shop, shared))
    assert frame.drop("score").equals(again.drop("score"))
    np.testing.assert_allclose(frame["score"], again["score"], rtol=1e-5)
    row = 4
    before = shared.model.view(None).score(histories()).clone()
    shared.add_items([{"item_id": "new", "text": shared.catalog.texts(np.asarray([row]))[0]}])
    after = shared.model.view(None).score(histories())
    assert torch.equal(after[:, :-1], before)
    added = shared.recommender.added(histories())
    assert added is not None
    assert added.sparse_BN[:, -1].nnz > 0
    assert added.item_N[-1] == pytest.approx(shared.recommender.network.neighbours.cold_bonus, rel=1e-5)
    shared.save_pretrained(tmp_path / "grown")
    grown = crossrec.load(tmp_path / "grown")
    torch.testing.assert_close(grown.model.view(None).score(histories()), after)


def test_a_given_weight_and_bonus_are_used(run: Path, tmp_path: Path) -> None:
    options = ["name=given", "neighbours.weight=0", "neighbours.cold_bonus=0", "neighbours.shrinkage=0"]
    config = read_run(run, options)
    run_training(config)
    given, alone = (
        load_recommender(opened(r, *o)) for r, o in ((config.run_folder, ()), (run, ("neighbours=null",)))
    )
    torch.testing.assert_close(given.score(histories()), alone.score(histories()))


def test_an_explanation_says_what_neighbours_add(run: Path) -> None:
    shop = crossrec.load(run)
    found = shop.explain(["i3", "i1", "i4"], "i7", methods=["click_leave_one_out", "modality_leave_one_out"])
    recommender = shop.recommender
    rows = Sequences.from_lists([[3, 1, 4]])
    dots_N = (recommender.queries(rows) @ recommender.item_vectors().T)[0]
    assert found.score - found.neighbours == pytest.approx(float(dots_N[7]), abs=1e-4)
    assert found.neighbours > 0
    assert found.to_dict()["neighbours"] == found.neighbours


def test_exploration_on_the_last_layer_starts_with_the_mixed_order(run: Path) -> None:
    shop = crossrec.load(run)
    users = list(shop.user_ids[:5])
    plain = shop.recommend(users=users, k=5)
    explored = shop.recommend(users=users, k=5, explore=crossrec.UCB(width=0.0))
    assert plain["item_id"].to_list() == explored["item_id"].to_list()


@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_retrievers_find_the_mixed_lists(run: Path, index: Any) -> None:
    if index == "faiss":
        pytest.importorskip("faiss")
    recommender = load_recommender(opened(run))
    wanted = recommender.recommend(histories(), 5, histories())
    found = VectorRetriever(recommender, index).recommend(histories(), 5, histories())
    np.testing.assert_array_equal(found.ids, wanted.ids)
    np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5)


def test_the_servers_index_finds_the_mixed_lists(run: Path) -> None:
    pytest.importorskip("faiss")
    shop = crossrec.load(run)
    lists = [
        Lists(shop, ServerConfig(faiss_from=start)).find(
            BatchOptions(k=5), [ClickHistory(("i3", "i1")), ClickHistory(("i15",))]
        )
        for start in (1, 1000)
    ]
    assert [found.retrieval for found in lists[0]] == ["faiss", "faiss"]
    for by_index, exact in zip(*lists, strict=True):
        assert [place.row for place in by_index.places] == [place.row for place in exact.places]


def test_a_choice_without_validation_queries_is_refused_before_training() -> None:
    split: Any = SimpleNamespace(valid=())
    given = {"tune": False, "weight": 2.0, "cold_bonus": 0.0}
    for missing in given:
        options = {key: value for key, value in given.items() if key != missing}
        config = validate(ExperimentConfig, {"neighbours": options}, "test")
        with pytest.raises(InputError, match=r"no validation queries to choose on.*neighbours"):
            check_choices(config, split)
    check_choices(validate(ExperimentConfig, {"neighbours": given}, "test"), split)
    check_choices(validate(ExperimentConfig, {}, "test"), split)


def test_the_smallest_weight_close_to_the_best_is_chosen() -> None:
    assert smallest_close({0.0: 0.5, 1.0: 0.995, 2.0: 1.0, 5.0: 0.999}) == 1.0
    assert smallest_close({0.0: 0.0, 3.0: 0.0}) == 0.0
