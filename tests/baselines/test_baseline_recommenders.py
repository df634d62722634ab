"""Contracts that every baseline keeps, and what is particular to each."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from crossrec.baselines import BASELINES, BaselineOptions
from crossrec.baselines.als import ALS
from crossrec.baselines.base import history_matrix
from crossrec.baselines.bpr import BPRMF
from crossrec.baselines.content import ContentBased
from crossrec.baselines.ease import EASE
from crossrec.baselines.feature_model import FeatureModel
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.neural.lightgcn import LightGCN
from crossrec.baselines.neural.ngcf import NGCF
from crossrec.baselines.neural.two_tower import TwoTower
from crossrec.baselines.neural.vbpr import VBPR
from crossrec.baselines.popularity import Popularity, RecentPopularity
from crossrec.baselines.user_knn import UserKNN
from crossrec.data.item_table import ItemTable, VectorSpace
from crossrec.types import ABSENT, InputError, Recommender, Sequences

N = 30
CASES: dict[str, BaselineOptions] = {
    "popularity": Popularity.Options(),
    "recent popularity": RecentPopularity.Options(half_life_days=10),
    "item-kNN cosine": ItemKNN.Options(similarity="cosine", neighbours=8),
    "item-kNN BM25": ItemKNN.Options(similarity="bm25", neighbours=8, recency=0.8),
    "item-kNN TF-IDF": ItemKNN.Options(similarity="tfidf", neighbours=8),
    "item-kNN Pearson": ItemKNN.Options(similarity="pearson", neighbours=8),
    "user-kNN cosine": UserKNN.Options(similarity="cosine", neighbours=8),
    "user-kNN Pearson": UserKNN.Options(similarity="pearson", neighbours=8, recency=0.8, power=2.0),
    "content TF-IDF": ContentBased.Options(space="tfidf"),
    "content BM25": ContentBased.Options(space="bm25"),
    "content text vectors": ContentBased.Options(space="text"),
    "content image vectors": ContentBased.Options(space="image"),
    "content categories": ContentBased.Options(space="categories"),
    "logistic on features": FeatureModel.Options(neighbours=8, negatives=5),
    "linear on features": FeatureModel.Options(loss="squared", neighbours=8, negatives=5),
    "ALS": ALS.Options(factors=4, iterations=5, regularization=0.1, alpha=5.0),
    "BPR-MF": BPRMF.Options(factors=4, iterations=50),
    "EASE": EASE.Options(regularization=5.0),
    "two-tower (text+image)": TwoTower.Options(
        modalities=("text", "image"), width=4, hidden=8, negatives=5, batch_size=64, learning_rate=0.02
    ),
    "VBPR": VBPR.Options(width=4, visual_width=4, epochs=10, batch_size=100, learning_rate=0.1),
    "NGCF": NGCF.Options(width=8, layers=2, epochs=10, batch_size=100, learning_rate=0.05),
    "LightGCN": LightGCN.Options(width=8, layers=2, epochs=10, batch_size=100, learning_rate=0.1),
}
NAMES, CONFIGS = list(CASES), list(CASES.values())
PERSONAL = [name for name in NAMES if "popularity" not in name]


def clicks(seed: int = 0, users: int = 60) -> Sequences:
    """Users of two tastes: even or odd items below N - 2; the last two items stay unclicked."""
    rng = np.random.default_rng(seed)
    rows = Sequences.from_lists(
        2 * rng.integers(0, (N - 2) // 2, size=rng.integers(3, 9)) + user % 2 for user in range(users)
    )
    return Sequences(rows.offsets, rows.items, 10**9 + 86_400 * np.arange(len(rows.items)))


def known_items() -> ItemTable:
    """Content that tells the tastes apart; item 29 has none, item 28 has all but clicks."""
    rng = np.random.default_rng(5)
    taste = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)[:, None]
    present = np.arange(N) < N - 1
    vectors = {
        name: (taste * rng.normal(size=width) + rng.normal(scale=0.3, size=(N, width))).astype(np.float32)
        for name, width in (("text", 6), ("image", 5))
    }
    rows = np.flatnonzero(present)
    kinds = csr_matrix((np.ones(len(rows), np.float32), (rows, rows % 2)), shape=(N, 2))
    words = [f"{('even', 'odd')[i % 2]} thing number{i % 6}" if present[i] else "" for i in range(N)]
    return ItemTable.of_size(
        N,
        categories=kinds,
        texts=lambda rows: [words[row] for row in rows],
        spaces={name: VectorSpace(vectors_NW, present) for name, vectors_NW in vectors.items()},
    )


KNOWN = known_items()


@pytest.fixture(params=CONFIGS, ids=NAMES)
def config(request: pytest.FixtureRequest) -> BaselineOptions:
    return request.param


def test_every_baseline_has_a_case() -> None:
    missing = {*BASELINES} - {BASELINES.name_of(config) for config in CONFIGS}
    assert not missing, f"add options to CASES for {missing}"


def test_satisfies_the_protocol_and_has_a_name(config: BaselineOptions) -> None:
    recommender = config.build(KNOWN)
    assert isinstance(recommender, Recommender)
    assert recommender.n_items == N
    assert getattr(recommender, "name", None) == NAMES[CONFIGS.index(config)]


def test_scores_have_the_contract_shape_and_candidates_agree(config: BaselineOptions) -> None:
    recommender = config.build(KNOWN).fit(clicks())
    histories = Sequences.from_lists([[0, 2, 4], [], [29], [5, 5, 7]])
    scores_BN = recommender.score(histories)
    assert scores_BN.shape == (4, N)
    assert scores_BN.dtype == torch.float32
    assert not scores_BN.isnan().any()
    candidates = np.array([[3, 0], [1, 1], [29, ABSENT], [ABSENT, 9]])
    picked = recommender.score(histories, candidates)
    expected = scores_BN.gather(1, torch.from_numpy(candidates.clip(0)))
    expected[torch.from_numpy(candidates == ABSENT)] = -torch.inf
    assert torch.equal(picked, expected)


def test_excluded_items_never_appear_and_rows_are_independent(config: BaselineOptions) -> None:
    recommender = config.build(KNOWN).fit(clicks())
    histories = clicks(seed=1, users=12)
    found = recommender.recommend(histories, 10, exclude=histories)
    for row in range(len(histories)):
        assert not set(found.ids[row]) & set(histories.row(row))
        alone = histories.take(np.array([row]))
        np.testing.assert_array_equal(recommender.recommend(alone, 10, alone).ids[0], found.ids[row])


def test_fitting_again_with_the_same_seed_gives_the_same_scores(config: BaselineOptions) -> None:
    histories = clicks(seed=2, users=10)
    again = config.build(KNOWN).fit(clicks(seed=3)).fit(clicks())
    assert torch.equal(config.build(KNOWN).fit(clicks()).score(histories), again.score(histories))


def test_masking_a_result_leaves_the_recommender_as_it_was(config: BaselineOptions) -> None:
    recommender = config.build(KNOWN).fit(clicks())
    histories = clicks(seed=1, users=3)
    before = recommender.score(histories)
    recommender.score(histories).fill_(-torch.inf)
    assert torch.equal(recommender.score(histories), before)


def test_fitting_and_scoring_are_silent(config: BaselineOptions, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config.build(KNOWN).fit(clicks()).recommend(clicks(seed=1), 5)
    assert capfd.readouterr() == ("", "")


def test_bad_input_is_named(config: BaselineOptions) -> None:
    recommender = config.build(KNOWN)
    with pytest.raises(RuntimeError, match=r"has not been fitted: call fit\(train\) first"):
        recommender.score(clicks())
    with pytest.raises(ValueError, match="the training part has no click"):
        recommender.fit(Sequences.from_lists([[], []]))
    with pytest.raises(ValueError, match="row 1 holds item 30, outside the catalogue of 30 items"):
        recommender.fit(Sequences.from_lists([[0, 1], [2, 30]]))
    recommender.fit(clicks())
    one = Sequences.from_lists([[0]])
    with pytest.raises(ValueError, match=r"candidates\[0, 1\] is 30"):
        recommender.score(one, np.array([[0, 30]]))
    with pytest.raises(ValueError, match=r"shape \(2, 1\); expected \(1, K\)"):
        recommender.score(one, np.zeros((2, 1), dtype=np.int64))


@pytest.mark.parametrize("config", [CASES[name] for name in PERSONAL], ids=PERSONAL)
def test_a_history_finds_its_own_taste(config: BaselineOptions) -> None:
    histories = Sequences.from_lists([[0, 2], [1, 3]])
    found = config.build(KNOWN).fit(clicks()).recommend(histories, 5, histories)
    for row in (0, 1):
        listed = found.ids[row][found.ids[row] != ABSENT]
        assert len(listed) >= 3
        assert (listed % 2 == row).mean() >= 0.8


NEEDS = {
    "content TF-IDF": "item texts",
    "content BM25": "item texts",
    "content text vectors": "item vectors in the space 'text'",
    "content image vectors": "item vectors in the space 'image'",
    "content categories": "item categories",
    "two-tower (text+image)": "item vectors in the space 'text'",
    "VBPR": "item vectors in the space 'image'",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_number_of_items_is_enough_where_no_content_is_needed(name: str) -> None:
    config = CASES[name]
    if name in NEEDS:
        with pytest.raises(InputError, match=f"{re.escape(name)} needs {NEEDS[name]}"):
            config.build(ItemTable.of_size(N))
    else:
        assert config.build(ItemTable.of_size(N)).fit(clicks()).score(clicks(seed=1, users=2)).shape == (2, N)


COLD = {name for name in NAMES if name.startswith(("content", "two-tower", "VBPR"))}


@pytest.mark.parametrize("name", sorted(COLD))
def test_content_ranks_an_item_that_nobody_clicked(name: str) -> None:
    histories = Sequences.from_lists([[0, 2, 4, 6], [1, 3, 5, 7]])
    scores = CASES[name].build(KNOWN).fit(clicks()).score(histories)
    assert scores[0, N - 2] > scores[1, N - 2]
    assert torch.isneginf(scores[:, N - 1]).all()


def test_popularity_counts_clicks_and_breaks_ties_by_index() -> None:
    train = Sequences.from_lists([[4, 2, 4], [2, 1], [4]])
    found = (
        Popularity.Options().build(ItemTable.of_size(5)).fit(train).recommend(Sequences.from_lists([[]]), 5)
    )
    assert found.ids.tolist() == [[4, 2, 1, 0, 3]]
    assert found.scores.tolist() == [[3, 2, 1, 0, 0]]


def test_cosine_scores_equal_plain_cosines_when_all_neighbours_count() -> None:
    train, histories = clicks(), clicks(seed=1, users=7)
    counts = history_matrix(train, N).toarray()
    norms = np.linalg.norm(counts, axis=0)
    cosines = counts.T @ counts / np.maximum(np.outer(norms, norms), 1e-12)
    expected = history_matrix(histories, N).toarray() @ cosines
    scores = (
        ItemKNN.Options(similarity="cosine", neighbours=N)
        .build(ItemTable.of_size(N))
        .fit(train)
        .score(histories)
        .numpy()
    )
    np.testing.assert_array_equal(np.isneginf(scores), expected <= 0)
    np.testing.assert_allclose(scores[expected > 0], expected[expected > 0], rtol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "bm25", "tfidf"])
def test_item_knn_lists_end_where_neighbours_run_out(similarity: str) -> None:
    config = ItemKNN.Options.model_validate({"similarity": similarity})
    train = Sequences.from_lists([[0, 1], [0, 1, 2], [3, 4], [3, 4]])
    histories = Sequences.from_lists([[0], [3], []])
    found = config.build(ItemTable.of_size(6)).fit(train).recommend(histories, 4, histories)
    assert found.ids[0, :2].tolist() in ([1, 2], [2, 1])
    assert found.ids[0, 2:].tolist() == [ABSENT] * 2
    assert found.ids[1].tolist() == [4, ABSENT, ABSENT, ABSENT]
    assert found.ids[2].tolist() == [ABSENT] * 4


def test_a_user_of_the_whole_catalogue_gives_no_nan() -> None:
    train = Sequences.from_lists([[0, 1, 2], [0, 1]])
    scores = (
        ItemKNN.Options(similarity="tfidf")
        .build(ItemTable.of_size(3))
        .fit(train)
        .score(Sequences.from_lists([[0], [2]]))
    )
    assert not scores.isnan().any()


def test_recency_halves_the_weight_of_each_older_click() -> None:
    matrix = history_matrix(Sequences.from_lists([[3, 1, 3], [], [0, 2]]), 4, recency=0.5)
    expected = np.array([[0, 0.5, 0, 1.25], [0, 0, 0, 0], [0.5, 0, 1, 0]])
    np.testing.assert_allclose(matrix.toarray(), expected)


def test_recency_lets_the_last_click_decide() -> None:
    histories = Sequences.from_lists([[0, 2, 4, 1]])
    steady, fading = (
        ItemKNN.Options(similarity="cosine", recency=recency).build(ItemTable.of_size(N)).fit(clicks())
        for recency in (1.0, 0.1)
    )
    assert steady.recommend(histories, 1, histories).ids[0, 0] % 2 == 0
    assert fading.recommend(histories, 1, histories).ids[0, 0] % 2 == 1


def test_als_folds_in_by_the_closed_form() -> None:
    """Hu et al. 2008, equation 4; implicit counts confidence as alpha times the clicks, 1 elsewhere."""
    config = ALS.Options(factors=4, iterations=5, regularization=0.1, alpha=5.0)
    recommender = ALS(config, ItemTable.of_size(N)).fit(clicks())
    histories = Sequences.from_lists([[0, 2, 2], [7]])
    items = recommender._items_DN.T.double().numpy()
    rows: csr_matrix = history_matrix(histories, N)
    expected: list[np.ndarray] = []
    for counts in rows.toarray():
        clicked = counts > 0
        confidence = np.where(clicked, config.alpha * counts, 1.0)
        gram = items.T @ (confidence[:, None] * items) + config.regularization * np.eye(4)
        expected.append(items @ np.linalg.solve(gram, items.T @ (confidence * clicked)))
    np.testing.assert_allclose(recommender.score(histories).numpy(), np.stack(expected), atol=1e-4)


def test_als_without_history_ties_everything_and_uses_later_clicks() -> None:
    recommender = ALS.Options(factors=4, iterations=5).build(ItemTable.of_size(N)).fit(clicks())
    scores = recommender.score(Sequences.from_lists([[], [0, 2], [0, 2, 3]]))
    assert (scores[0] == 0).all()
    assert not torch.equal(scores[1], scores[2])
    assert (scores[:, N - 2 :] == 0).all()


def test_als_seed_matters() -> None:
    histories = clicks(seed=1, users=3)
    first, second = (
        ALS.Options(factors=4, seed=s).build(ItemTable.of_size(N)).fit(clicks()).score(histories)
        for s in (0, 1)
    )
    assert not torch.equal(first, second)
