"""What modalities add to a score."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from crossrec.explain.effects import modality_gradients, modality_leave_one_out, scores_with_modalities
from crossrec.explain.score import Pair, mean_features
from crossrec.model.fusion.weighted import WeightedFusion
from crossrec.model.recommender import NeuralRecommender
from crossrec.types import InputError, Sequences

FUSIONS = ["concat", "weighted", "attention", "gated"]
Networks = Callable[..., NeuralRecommender]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_opened_score_is_the_recommenders(
    networks: Networks, history: Sequences, fusion: str, similarity: str
) -> None:
    recommender = networks(fusion=fusion, similarity=similarity)
    scores = recommender.score(history)[0]
    for item in (0, 3, 13):
        pair = Pair.of(recommender, history, item)
        assert pair.score == pytest.approx(float(scores[item]), rel=1e-4, abs=1e-5)
        with torch.no_grad():
            both = pair.scores(pair.features_KMD[None], pair.present_KM[None])
            by_item = pair.scores_of_item(pair.features_KMD[-1:])
        assert float(both) == pytest.approx(pair.score, rel=1e-4, abs=1e-5)
        assert float(by_item) == pytest.approx(pair.score, rel=1e-4, abs=1e-5)


def test_hiding_a_modality_is_what_a_network_without_it_in_the_catalogue_scores(
    networks: Networks, history: Sequences
) -> None:
    recommender = networks()
    effects = modality_leave_one_out(Pair.of(recommender, history, 13))
    assert effects.names == ("text", "image", "id")
    whole = float(recommender.score(history)[0, 13])
    for column, name in enumerate(effects.names):
        without = networks()
        rows = torch.tensor([1, 7, 2, 11, 5])
        without.network.items.modalities[name].get_buffer("present")[rows] = False
        fall = whole - float(without.score(history)[0, 13])
        assert effects.history_M[column] == pytest.approx(fall, abs=1e-5)
        without.network.items.modalities[name].get_buffer("present")[13] = False
        without.refresh()
        fall = whole - float(without.score(history)[0, 13])
        assert effects.both_M[column] == pytest.approx(fall, abs=1e-5)
    assert effects.shares_M.sum() == pytest.approx(1)


def only_pictures(networks: Networks) -> NeuralRecommender:
    recommender = networks(fusion="weighted")
    fusion = recommender.network.items.fusion
    assert isinstance(fusion, WeightedFusion)
    with torch.no_grad():
        fusion.logits.copy_(torch.tensor([-20.0, 20.0, -20.0]))
    return recommender


def test_a_model_by_pictures_is_explained_by_pictures(networks: Networks) -> None:
    recommender = only_pictures(networks)
    # All of these have text, picture and id.
    pair = Pair.of(recommender, Sequences.from_lists([[1, 7, 2, 11]]), 13)
    mean_MD = mean_features(recommender.network)
    for effects in (modality_leave_one_out(pair), modality_gradients(pair, mean_MD)):
        assert effects.shares_M[1] > 0.999, effects.method
    assert scores_with_modalities(pair, np.asarray([[False, True, False]]))[0] == pytest.approx(
        pair.score, rel=1e-4
    )


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_integrated_gradients_are_complete(
    networks: Networks, history: Sequences, fusion: str, similarity: str
) -> None:
    recommender = networks(fusion=fusion, similarity=similarity)
    mean_MD = mean_features(recommender.network)
    pair = Pair.of(recommender, history, 13)
    effects = modality_gradients(pair, mean_MD)
    found = effects.completeness
    assert found is not None
    # The largest error seen was 0.2 % of the difference; 64 points.
    assert abs(found.gap) <= 0.02 * abs(found.difference) + 1e-3
    assert effects.both_M.sum() == pytest.approx(found.difference + found.gap, rel=1e-4, abs=1e-4)
    baseline_KMD = torch.where(pair.present_KM.unsqueeze(-1), mean_MD, 0)
    with torch.no_grad():
        average = float(pair.scores(baseline_KMD[None], pair.present_KM[None]))
    assert found.difference == pytest.approx(pair.score - average, abs=1e-4)


def test_a_missing_modality_adds_nothing(networks: Networks) -> None:
    recommender = networks()
    # Items 0 and 12 have neither text nor picture; 0 has no id either.
    pair = Pair.of(recommender, Sequences.from_lists([[12, 12]]), 12)
    for effects in (
        modality_leave_one_out(pair),
        modality_gradients(pair, mean_features(recommender.network)),
    ):
        np.testing.assert_array_equal(effects.both_M[:2], 0)
        assert effects.both_M[2] != 0


def test_the_mean_item_is_the_mean_of_those_that_have_the_modality(networks: Networks) -> None:
    network = networks().network.eval()
    with torch.no_grad():
        features_NMD, present_NM = network.items.projected(torch.arange(network.n_items))
    expected = [features_NMD[present_NM[:, m], m].mean(0) for m in range(3)]
    torch.testing.assert_close(mean_features(network), torch.stack(expected))


def test_questions_without_sense(networks: Networks) -> None:
    recommender = networks()
    with pytest.raises(InputError, match="history is empty"):
        Pair.of(recommender, Sequences.from_lists([[]]), 3)
    with pytest.raises(InputError, match="one history, and 2"):
        Pair.of(recommender, Sequences.from_lists([[1], [2]]), 3)
    with pytest.raises(InputError, match="item 99 is not in the catalogue"):
        Pair.of(recommender, Sequences.from_lists([[1]]), 99)


def test_what_a_recommender_may_not_look_at_is_hidden_here_too(
    networks: Networks, history: Sequences
) -> None:
    network = networks().network
    for shown in (("text",), ("image", "id")):
        recommender = NeuralRecommender(network, shown=shown)
        pair = Pair.of(recommender, history, 13)
        assert pair.score == pytest.approx(float(recommender.score(history)[0, 13]), rel=1e-4, abs=1e-5)
        effects = modality_leave_one_out(pair)
        hidden = [name not in shown for name in effects.names]
        np.testing.assert_array_equal(effects.both_M[hidden], 0)
