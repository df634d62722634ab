"""What clicks add to a score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import pytest
import torch
from torch import Tensor

from crossrec.explain.effects import click_gradients, click_leave_one_out, scores_with_clicks
from crossrec.explain.score import Pair
from crossrec.model.network import SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.base import History, SequenceModel
from crossrec.types import InputError, Sequences, TopK

Networks = Callable[..., NeuralRecommender]


class WeighsItems:
    """A recommender that is no network: a score is the sum of the clicked items' weights."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights
        self.calls = 0

    @property
    def n_items(self) -> int:
        return len(self.weights)

    def fit(self, train: Sequences) -> Self:
        return self

    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        self.calls += 1
        sums = [float(self.weights[histories.row(row)].sum()) for row in range(len(histories))]
        width = self.n_items if candidates is None else candidates.shape[1]
        return torch.tensor(sums)[:, None].expand(-1, width)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        raise NotImplementedError


def test_leaving_out_finds_the_weight_of_each_click_in_one_call() -> None:
    recommender = WeighsItems(np.asarray([0.0, 1.0, -2.0, 0.5]))
    effects = click_leave_one_out(recommender, Sequences.from_lists([[2, 0, 1, 1]]), 3)
    np.testing.assert_allclose(effects.values_L, [-2, 0, 1, 1])
    assert recommender.calls == 1


@pytest.mark.parametrize("type_", ["sasrec", "bert4rec", "hstu", "gru4rec"])
def test_leaving_out_equals_scoring_the_shorter_histories(
    networks: Networks, history: Sequences, type_: str
) -> None:
    recommender = networks({"type": type_})
    effects = click_leave_one_out(recommender, history, 13)
    whole = float(recommender.score(history)[0, 13])
    for place in range(5):
        kept = np.delete(np.arange(5), place)
        assert history.times is not None
        shorter = Sequences(np.asarray([0, 4]), history.items[kept], history.times[kept])
        fall = whole - float(recommender.score(shorter)[0, 13])
        assert effects.values_L[place] == pytest.approx(fall, abs=1e-4)


def test_scores_of_parts_of_a_history(networks: Networks, history: Sequences) -> None:
    recommender = networks()
    kept_VL = np.asarray([[1, 1, 1, 1, 1], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]], bool)
    found = scores_with_clicks(recommender, history, 13, kept_VL)
    parts = Sequences.from_lists([[1, 7, 2, 11, 5], [2, 5], []])
    np.testing.assert_allclose(found, recommender.score(parts)[:, 13], rtol=1e-4, atol=1e-5)


class ReadsOneClick(SequenceModel):
    """The third click alone says what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self.max_length = 6

    def forward(self, history: History) -> Tensor:
        return history.vectors_BLD[:, 2:3].expand_as(history.vectors_BLD)


def test_the_one_click_that_decides_is_named(networks: Networks, history: Sequences) -> None:
    whole = networks().network
    network = SequentialNetwork(whole.items, ReadsOneClick(), whole.n_items, similarity="dot", temperature=1)
    recommender = NeuralRecommender(network)
    pair = Pair.of(recommender, history, 13)
    effects = click_gradients(pair, recommender.item_vectors().mean(0))
    np.testing.assert_array_equal(effects.values_L[[0, 1, 3, 4]], 0)
    with torch.no_grad():
        average = float(pair.scores_of_clicks(recommender.item_vectors().mean(0).expand(1, 5, -1)))
    assert effects.values_L[2] == pytest.approx(pair.score - average, rel=1e-4)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("type_", ["sasrec", "esasrec", "bert4rec", "hstu", "gru4rec"])
def test_integrated_gradients_over_clicks_are_complete(
    networks: Networks, history: Sequences, type_: str, similarity: str
) -> None:
    sequence = {"type": type_}
    recommender = networks(sequence, similarity=similarity)
    pair = Pair.of(recommender, history, 13)
    found = click_gradients(pair, recommender.item_vectors().mean(0))
    assert found.values_L.shape == (5,)
    assert found.completeness is not None
    difference, gap = found.completeness.difference, found.completeness.gap
    assert abs(gap) <= 0.02 * abs(difference) + 1e-3
    assert found.values_L.sum() == pytest.approx(difference + gap, rel=1e-4, abs=1e-4)


def test_an_item_without_a_score_is_an_error() -> None:
    class Refuses(WeighsItems):
        def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
            return super().score(histories, candidates) - torch.inf

    with pytest.raises(InputError, match="no finite score"):
        click_leave_one_out(Refuses(np.zeros(3)), Sequences.from_lists([[0, 1]]), 2)
