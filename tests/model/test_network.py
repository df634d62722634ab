"""The cross-modal network: masks, cold items, trained encoders, and the Recommender contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.model.fusion import FUSIONS
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.modalities.layers import FrozenFeatures, Modality
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.recommender import NeuralRecommender, extended_by
from crossrec.model.sequence.sasrec import SASRec
from crossrec.training.checkpoint import load_trained_state, trained_state
from crossrec.types import ABSENT, Recommender, Sequences
from crossrec.vectors import pad_rows

N, D = 40, 16


def features(seed: int, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, width)).astype(np.float32)


def network(
    text: np.ndarray, image: np.ndarray, *, fusion: str = "gated", similarity: str = "cosine", seed: int = 0
) -> SequentialNetwork:
    text_present, image_present = np.arange(N) % 3 > 0, np.arange(N) % 4 > 0
    modalities: dict[str, Modality] = {
        "text": FrozenFeatures(text, text_present, components=8),
        "image": FrozenFeatures(image, image_present, components=None),
    }
    torch.manual_seed(seed)
    modalities["id"] = ItemIdEmbedding(np.arange(N) % 5 > 0, D)
    fused = FUSIONS.parse({"type": fusion}).build(3, D)
    items = ItemEncoder(modalities, fused, D, dropout=0.1, modality_dropout=0.3)
    sequence = SASRec.Options(max_length=6).build(D, Path())
    return SequentialNetwork(items, sequence, N, similarity=similarity, temperature=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("fusion", ["concat", "weighted", "attention", "gated"])
def test_what_stands_in_missing_places_never_reaches_a_score(fusion: str) -> None:
    text, image = features(0), features(1)
    rubbish_text, rubbish_image = text.copy(), image.copy()
    rubbish_text[::3], rubbish_image[::4] = np.nan, 1e6
    histories = Sequences.from_lists([[1, 2, 3], [12, 24]])
    clean = NeuralRecommender(network(text, image, fusion=fusion)).score(histories)
    other = NeuralRecommender(network(rubbish_text, rubbish_image, fusion=fusion)).score(histories)
    torch.testing.assert_close(clean, other, rtol=0, atol=0)


def test_modality_dropout_hides_but_never_all() -> None:
    items = network(features(0), features(1)).items.train()
    rows = torch.arange(N)
    torch.manual_seed(0)
    drawn = torch.stack([items.mask(rows) for _ in range(200)])
    items.eval()
    present = items.mask(rows)
    assert not (drawn & ~present).any()
    assert (drawn.any(2) == present.any(1)).all()
    both = present.sum(1) == 3
    assert 0.6 < drawn[:, both].float().mean() < 0.8


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_recommender_contract(similarity: str) -> None:
    recommender = NeuralRecommender(network(features(0), features(1), similarity=similarity))
    assert isinstance(recommender, Recommender)
    histories = Sequences.from_lists([[1, 2, 3], [], list(range(20)), [5]])
    scores = recommender.score(histories)
    assert scores.shape == (4, N)
    assert scores.dtype == torch.float32
    assert torch.equal(scores[1], torch.zeros(N))
    alone = recommender.score(histories.take(np.asarray([2])))
    torch.testing.assert_close(alone[0], scores[2], rtol=1e-4, atol=1e-5)
    # Only the latest max_length clicks count.
    torch.testing.assert_close(recommender.score(Sequences.from_lists([list(range(14, 20))]))[0], scores[2])
    candidates = np.asarray([[3, 0, 7], [1, 2, 3], [39, 5, 5], [0, 1, 2]])
    torch.testing.assert_close(
        recommender.score(histories, candidates), scores.gather(1, torch.from_numpy(candidates))
    )
    candidates[1, 2] = ABSENT
    assert recommender.score(histories, candidates).isneginf().nonzero().tolist() == [[1, 2]]
    lists = recommender.recommend(histories, 5, exclude=histories)
    for row in range(4):
        masked = scores[row].clone()
        masked[torch.from_numpy(histories.row(row))] = -torch.inf
        expected = torch.sort(masked, descending=True, stable=True).indices[:5]
        assert lists.ids[row].tolist() == expected.tolist()


def test_save_and_load_give_the_same_scores(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    histories = Sequences.from_lists([[1, 2, 3], [7]])
    trained = network(features(0), features(1), seed=3)
    save_file(trained_state(trained), tmp_path / "model.safetensors")
    fresh = network(features(0), features(1), seed=4)
    load_trained_state(fresh, tmp_path / "model.safetensors")
    torch.testing.assert_close(
        NeuralRecommender(fresh).score(histories), NeuralRecommender(trained).score(histories)
    )
    with pytest.raises(ValueError, match="does not fit this model"):
        load_trained_state(fresh.items, tmp_path / "model.safetensors")


def test_whitening_decorrelates_and_ignores_missing_rows() -> None:
    mixed = features(0) @ np.random.default_rng(5).normal(size=(12, 12)).astype(np.float32)
    present = np.arange(N) % 5 > 0
    mixed[~present] = np.nan
    whitened = FrozenFeatures(mixed, present, components=6)(torch.from_numpy(np.flatnonzero(present)))
    covariance = np.cov(whitened.numpy(), rowvar=False)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    assert np.diag(covariance).max() <= 1 + 1e-4
    assert np.diag(covariance)[0] > 0.99


def test_fit_without_a_fitter_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="loaded for use"):
        NeuralRecommender(network(features(0), features(1))).fit(Sequences.from_lists([[1, 2]]))


def test_pad_rows() -> None:
    padded = pad_rows(np.asarray([4, 5, 6]), np.asarray([2, 0, 1]))
    assert padded.tolist() == [[4, 5], [0, 0], [6, 0]]
    assert pad_rows(np.zeros(0, np.int64), np.zeros(2, np.int64)).tolist() == [[0], [0]]


def test_beginnings_of_histories_are_read_in_one_pass() -> None:
    recommender = NeuralRecommender(network(features(0), features(1)))
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, N, size).tolist() for size in (5, 1, 6, 3)]
    beginnings = [row[:end] for row in rows for end in range(1, len(row) + 1)]
    others: list[list[int]] = [rows[0], [rows[0][0], 1], [], [2] * 9]
    histories = Sequences.from_lists([[], *beginnings, *others])
    read: list[int] = []
    recommender.network.sequence.register_forward_pre_hook(
        lambda _, inputs: read.append(len(inputs[0].lengths_B))
    )
    together = recommender.queries(histories)
    assert read == [1 + len(rows) + len(others)]
    alone = torch.cat([recommender.queries(histories.take(np.array([row]))) for row in range(len(histories))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    timed = Sequences(histories.offsets, histories.items, rng.permutation(len(histories.items)))
    assert (extended_by(timed) == np.arange(len(timed))).all()


def test_batches_by_length_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = NeuralRecommender(network(features(0), features(1)))
    rng = np.random.default_rng(0)
    histories = Sequences.from_lists(rng.integers(0, N, rng.integers(0, 9)) for _ in range(50))
    together = recommender.queries(histories)
    shapes: list[torch.Size] = []
    recommender.network.register_forward_pre_hook(
        lambda _, inputs: shapes.append(inputs[0].vectors_BLD.shape)
    )
    monkeypatch.setattr("crossrec.model.recommender.POSITIONS", {"cpu": 20})
    torch.testing.assert_close(recommender.queries(histories), together, rtol=1e-4, atol=1e-5)
    assert max(rows * length for rows, length, _ in shapes) <= 20
    assert len(shapes) > 5
    assert recommender.queries(histories.take(np.zeros(0, int))).shape == (0, D)
