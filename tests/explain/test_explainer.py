"""Everything that can be said of a score in one call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.encoders.base import EncoderPrecision
from crossrec.encoders.cache import Features
from crossrec.explain import METHODS, Explainer, ItemContent, deletion_of, explain, faithfulness
from crossrec.explain.explainer import Question
from crossrec.explain.explanation import Unavailable
from crossrec.model.build import build_network
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.recommender import NeuralRecommender
from crossrec.types import InputError, Sequences

CLICKS = [9, 8, 1, 7, 2, 11, 5, 3]


def test_effects_are_a_frame_and_bars_in_notebooks(shop: Any) -> None:
    found = shop.explainer.explain(Sequences.from_lists([CLICKS]), 13)
    frame = found.to_frame()
    assert set(frame["kind"]) == {"modality", "click", "word"}
    clicks = frame.filter((frame["kind"] == "click") & (frame["method"] == "click_leave_one_out"))
    by_loo = next(effects for effects in found.clicks if effects.method == "click_leave_one_out")
    assert clicks["effect"].to_list() == by_loo.values_L.tolist()
    assert found._repr_html_().count("<tr>") == len(frame) + 1
    assert "6 clicks" in repr(found)  # the model reads the last six


def test_one_call_says_everything(shop: Any) -> None:
    histories = Sequences.from_lists([CLICKS])
    found = shop.explainer.explain(histories, 13)
    assert not found.left_out
    assert found.score == pytest.approx(float(shop.recommender.score(histories)[0, 13]), rel=1e-5)
    # SASRec reads six clicks here.
    assert found.clicks_L.tolist() == CLICKS[-6:]
    assert [effects.method for effects in found.modalities] == list(METHODS[:2])
    assert [effects.method for effects in found.clicks] == list(METHODS[2:4])
    assert all(len(effects.values_L) == 6 for effects in found.clicks)
    assert found.attention is not None
    assert found.picture is not None
    assert found.words is not None
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["item_id"] == "p13"
    assert [click["item_id"] for click in content["history"]] == [f"p{i}" for i in CLICKS[-6:]]
    assert sum(content["modalities"][0]["shares"]) == pytest.approx(1, abs=1e-4)
    assert len(content["picture"]["map"]) == 40
    assert content["words"]["text"] == shop.content.catalog.texts(np.asarray([13]))[0]


def test_what_an_item_lacks_is_left_out_with_a_reason(shop: Any) -> None:
    histories = Sequences.from_lists([CLICKS])
    found = shop.explainer.explain(histories, 23)
    assert set(found.left_out) == {"picture", "words"}
    assert "no image" in found.left_out["picture"]
    with pytest.raises(Unavailable, match="no image"):
        shop.explainer.explain(histories, 23, ["picture"])


def test_methods_can_be_chosen(shop: Any) -> None:
    found = explain(shop.recommender, Sequences.from_lists([CLICKS]), 13, methods=["click_leave_one_out"])
    assert [effects.method for effects in found.clicks] == ["click_leave_one_out"]
    assert not found.modalities
    assert found.attention is None
    with pytest.raises(InputError, match="no explanation method 'clicks'; there are modality_leave_one_out"):
        explain(shop.recommender, Sequences.from_lists([CLICKS]), 13, methods=["clicks"])  # type: ignore[list-item]


def test_without_a_catalogue_there_are_no_pictures(networks: Callable[..., NeuralRecommender]) -> None:
    found = explain(networks({"type": "gru4rec"}), Sequences.from_lists([CLICKS]), 13)
    assert set(found.left_out) == {"attention", "picture", "words"}
    assert len(found.clicks) == 2


def test_any_recommender_has_its_clicks_explained(networks: Callable[..., NeuralRecommender]) -> None:
    network = networks()

    class Behind:
        n_items = network.n_items
        fit, score, recommend = network.fit, network.score, network.recommend

    behind: Any = Behind()
    found = explain(behind, Sequences.from_lists([CLICKS]), 13)
    assert set(found.left_out) == set(METHODS) - {"click_leave_one_out"}
    assert len(found.clicks[0].values_L) == len(CLICKS)


def test_every_method_can_be_checked_by_deletion(shop: Any) -> None:
    explainer = Explainer(shop.recommender, shop.content)
    question = Question(explainer, Sequences.from_lists([CLICKS]), 13)
    for method in METHODS:
        found = faithfulness([deletion_of(question, method)] * 2, n_random=2, n_resamples=10)
        assert found.n_pairs == 2
        assert np.isfinite(found.curve_S).all(), method


def test_leave_one_out_passes_on_a_network(shop: Any) -> None:
    rng = np.random.default_rng(0)
    explainer, cases = shop.explainer, []
    for _ in range(25):
        clicks, item = rng.integers(0, 20, 6), int(rng.integers(0, 20))
        question = Question(explainer, Sequences.from_lists([clicks]), item)
        cases.append(deletion_of(question, "click_leave_one_out"))
    assert faithfulness(cases, n_random=5).passes


def test_explaining_changes_nothing(shop: Any) -> None:
    histories = Sequences.from_lists([CLICKS])
    before = shop.recommender.score(histories)
    first = shop.explainer.explain(histories, 13).to_dict()
    assert first == shop.explainer.explain(histories, 13).to_dict()
    assert (shop.recommender.score(histories) == before).all()
    assert all(parameter.grad is None for parameter in shop.recommender.network.parameters())


@pytest.mark.parametrize("whiten", ["auto", 8, 23])
def test_rounding_of_stored_features_is_no_change(
    make_shop: Callable[..., Any], catalog: Any, tmp_path: Path, whiten: int | str
) -> None:
    """However far a whitening of few items magnifies it."""
    config = make_shop().content.config
    image = config.modalities["image"].model_copy(update={"precision": EncoderPrecision.AUTO})
    modalities = {**config.modalities, "image": image}
    config = config.model_copy(update={"modalities": modalities, "whiten": whiten})
    part = config.build_modalities()["image"]
    content = EncodedCatalog(catalog, tmp_path)
    exact = part.features(content)
    lengths = np.linalg.norm(exact.vectors_ND, axis=1, keepdims=True) / np.sqrt(exact.vectors_ND.shape[1])
    rounded = exact.vectors_ND + 0.1 * lengths * np.random.default_rng(0).normal(size=exact.vectors_ND.shape)
    part.set_features(content, Features(rounded.astype(np.float16), exact.present_N, []))
    recommender = NeuralRecommender(build_network(config, content, np.ones(len(catalog), np.int64), seed=0))
    explainer = Explainer(recommender, ItemContent(catalog, config, tmp_path))
    for item in range(len(catalog) - 2):
        question = Question(explainer, Sequences.from_lists([[1, 2, 3]]), item)
        assert question.shown.picture is not None
        assert question.read_text.text


def test_a_part_that_fails_leaves_the_others(shop: Any, catalog: Any) -> None:
    class Broken:
        item_ids = catalog.item_ids

        def texts(self, rows: np.ndarray, column: str) -> list[str]:
            return ["blue shoe"]

        def image(self, row: int) -> Any:
            raise OSError("cannot identify image file")

    broken: Any = Broken()
    explainer = Explainer(shop.recommender, ItemContent(broken, shop.content.config, shop.content.cache_dir))
    history = Sequences.from_lists([[1, 2, 3]])
    found = explainer.explain(history, 5)
    assert found.left_out["picture"] == "cannot identify image file"
    assert "text of item 'p5' gives another feature" in found.left_out["words"]
    assert found.picture is None
    assert found.words is None
    assert len(found.modalities) == len(found.clicks) == 2
    assert found.score == pytest.approx(float(shop.recommender.score(history)[0, 5]), rel=1e-5)
    with pytest.raises(InputError, match="another feature"):
        explainer.explain(history, 5, methods=["words"])
