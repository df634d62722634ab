"""The surrogate tree says what a planted rule is."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
import pytest
from torch import Tensor

from crossrec.data.catalog import Catalog
from crossrec.explain import ItemFeatures, surrogate
from crossrec.types import InputError, Sequences, TopK

N_ITEMS, N_USERS = 80, 60


class ByScores:
    """A recommender of fixed scores, with a little noise for each user."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores

    @property
    def n_items(self) -> int:
        return len(self.scores)

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        raise NotImplementedError

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        rng = np.random.default_rng(1)
        scores = self.scores + rng.random((len(histories), self.n_items))
        for row in range(len(histories)):
            scores[row, histories.row(row)] = -np.inf
        ids = np.argsort(-scores, axis=1)[:, :k]
        return TopK(ids, np.take_along_axis(scores, ids, 1).astype(np.float32))


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 3, N_ITEMS)
    wool = rng.random(N_ITEMS) < 0.5
    catalog = Catalog.from_columns(
        {
            "item_id": [f"p{i}" for i in range(N_ITEMS)],
            "title": [f"Product {i}" for i in range(N_ITEMS)],
            "text": [f"A thing of {'wool' if known else 'linen'}" for known in wool],
            "categories": [["shoes", "shirts", "hats"][kind : kind + 1] for kind in kinds],
            "price": [float("nan") if i % 9 == 0 else float(rng.integers(5, 50)) for i in range(N_ITEMS)],
        }
    )
    histories = Sequences.from_lists(rng.integers(0, N_ITEMS, 3) for _ in range(N_USERS))
    features = ItemFeatures.of(catalog, rng.integers(0, 100, N_ITEMS))
    return {"features": features, "histories": histories, "kinds": kinds, "wool": wool}


def test_a_planted_rule_is_found_and_beats_popularity(world: dict[str, Any]) -> None:
    rule = 10.0 * ((world["kinds"] == 0) & world["wool"])
    found = surrogate(ByScores(rule), world["histories"], world["features"], k=5)
    assert set(list(found.importances)[:2]) <= {"category shoes", "word 'wool'", "word 'linen'"}
    assert found.fidelity["value"] > 0.95
    assert found.difference["ci95"][0] > 0
    assert found.popularity_fidelity["value"] < 0.9
    assert "category shoes" in found.tree_text
    assert "recommended" in found.tree_text
    shown = str(found)
    assert f"{found.fidelity['value']:.3f}" in shown
    assert f"{found.popularity_fidelity['value']:.3f}" in shown
    assert json.loads(json.dumps(found.to_dict()))["n_held_out"] == 18


def test_what_only_chance_decides_is_not_mimicked(world: dict[str, Any]) -> None:
    found = surrogate(ByScores(np.zeros(N_ITEMS)), world["histories"], world["features"], k=5)
    assert 0.35 < found.fidelity["value"] < 0.65


def test_features_of_an_item_for_a_user(world: dict[str, Any]) -> None:
    features, histories = world["features"], world["histories"]
    table = features.of_pairs(histories, np.asarray([0, 0]), np.asarray([int(histories.row(0)[0]), 9]))
    kind = world["kinds"][histories.row(0)]
    assert table[0, -1] == pytest.approx((kind == kind[0]).mean())
    assert np.isnan(table[1, features.names.index("price")])
    assert "word 'wool'" in features.names
    assert table.shape == (2, len(features.names))


def test_a_shop_without_texts_has_no_words() -> None:
    bare = Catalog.from_columns({"item_id": ["a", "b"], "text": [None, ""]})
    names = ItemFeatures.of(bare, np.zeros(2)).names
    assert not [name for name in names if name.startswith("word")]


def test_too_few_users_or_items(world: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="at least 4 users"):
        surrogate(ByScores(np.zeros(N_ITEMS)), Sequences.from_lists([[1]]), world["features"])
    with pytest.raises(InputError, match="too few of 80 items"):
        surrogate(ByScores(np.zeros(N_ITEMS)), world["histories"], world["features"], k=60)
