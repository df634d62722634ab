"""A shop whose ids are smoothed by clicks and content: used, grown, saved, and saved again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import crossrec
from crossrec.model.modalities.item_id import SmoothedIdEmbedding

HISTORY = ["i1", "i5", "i9"]


@pytest.fixture(scope="module")
def folder(train_shop: Callable[..., Path]) -> Path:
    smoothing = {"neighbours": 3, "share": 0.5, "similarity": "both"}
    objective = {"type": "sampled_softmax", "negatives": 8, "label_smoothing": 0.1}
    return train_shop("smoothed", model={"smoothing": smoothing}, objective=objective)


def test_what_is_saved_and_saved_again_recommends_the_same(folder: Path, tmp_path: Path) -> None:
    shop = crossrec.load(folder, device="cpu")
    text, picture = shop.catalog.texts(np.asarray([9]))[0], shop.catalog.image_bytes(9)
    shop.add_items([{"item_id": "new", "title": "New", "text": text, "image": picture}])
    known = shop.recommend([*HISTORY, "new"], k=10)
    by_ids = shop.recommend(HISTORY, k=10, modalities={"id"})
    for number in range(2):
        shop.save_pretrained(tmp_path / f"saved{number}")
        shop = crossrec.load(tmp_path / f"saved{number}", device="cpu")
        again = shop.recommend([*HISTORY, "new"], k=10)
        assert again.item_ids == known.item_ids
        assert again.scores == pytest.approx(known.scores, abs=1e-4)
        assert shop.recommend(HISTORY, k=10, modalities={"id"}).scores == pytest.approx(
            by_ids.scores, abs=1e-4
        )


def test_an_override_of_smoothing_leaves_what_was_trained(folder: Path) -> None:
    plain = crossrec.load(folder, device="cpu")
    other = crossrec.load(folder, device="cpu", overrides=["model.smoothing.neighbours=2"])
    ids = other.recommender.network.items.modalities["id"]
    assert isinstance(ids, SmoothedIdEmbedding)
    assert ids.mixed.shape[1] == 1 + 3
    assert other.recommend(HISTORY, k=5).scores == plain.recommend(HISTORY, k=5).scores
