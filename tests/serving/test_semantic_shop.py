"""A run of semantic ids: loaded, shared, with new items, on a changed catalogue; what it can't do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import crossrec
from crossrec.config import ConfigError, merge, validate
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError, Sequences

HISTORY = ["i2", "i6", "i10"]
SEQUENCE = {"type": "semantic_id", "codes": 8, "levels": 2, "max_length": 8}


@pytest.fixture(scope="module")
def folder(train_shop: Callable[..., Path]) -> Path:
    return train_shop("codes", model={"sequence": SEQUENCE})


@pytest.fixture
def shop(folder: Path) -> LoadedRecommender:
    return crossrec.load(folder, device="cpu")


def scores(shop: LoadedRecommender, ids: list[str]) -> np.ndarray:
    """Scores after two histories, of items by their ids."""
    histories = Sequences.from_lists([[shop.index(i) for i in row] for row in (HISTORY, ["i8"])])
    return shop.model.view(None).score(histories).numpy()[:, [shop.index(i) for i in ids]]


def test_lists_come_from_the_codes(shop: LoadedRecommender) -> None:
    assert shop.name == "codes"
    found = shop.recommend(HISTORY, k=5)
    everything = scores(shop, shop.item_ids)[0]
    everything[[shop.index(i) for i in HISTORY]] = -np.inf
    assert found.item_ids == [shop.item_ids[i] for i in np.lexsort((np.arange(40), -everything))[:5]]
    assert len(shop.recommend(HISTORY, k=5, rerank="run").item_ids) == 5
    assert len(shop.recommend(HISTORY, k=5, modalities={"image"}).item_ids) == 5
    assert len(shop.similar("i8", k=3).item_ids) == 3


def test_an_explanation_leaves_out_clicks(shop: LoadedRecommender) -> None:
    found = shop.explain(HISTORY, "i14")
    assert found.clicks
    assert any("generating codes" in reason for reason in found.left_out.values())


def test_shared_with_new_items(shop: LoadedRecommender, tmp_path: Path) -> None:
    before, ids = scores(shop, shop.item_ids), list(shop.item_ids)
    shop.add_items([{"item_id": "new", "title": "New", "text": "red shirt of wool for winter"}])
    np.testing.assert_allclose(scores(shop, ids), before, atol=1e-5)
    assert "new" in shop.recommend(["new"], k=40, exclude_seen=False).item_ids
    there = shop.save_pretrained(tmp_path / "shop")
    shutil.move(there, tmp_path / "elsewhere")
    loaded = crossrec.load(tmp_path / "elsewhere", device="cpu")
    np.testing.assert_allclose(scores(loaded, [*ids, "new"]), scores(shop, [*ids, "new"]), atol=1e-5)


def test_another_catalogue(
    folder: Path, shop_config: dict[str, Any], train_shop: Callable[..., Path], tmp_path: Path
) -> None:
    """Items in another order and one more leave the scores of the others; without one, lists stay full."""
    own = shutil.copytree(shop_config["data"]["root"], tmp_path / "data")
    settings = {"runs_dir": str(tmp_path / "runs"), "data": {**shop_config["data"], "root": str(own)}}
    run = train_shop("moved", model={"sequence": SEQUENCE}, **settings)
    shop = crossrec.load(run, device="cpu")
    items = pl.read_csv(own / "items.csv").reverse()
    more = items.head(1).with_columns(item_id=pl.lit("more"))
    pl.concat([more, items]).write_csv(own / "items.csv")
    later = crossrec.load(run, device="cpu")
    np.testing.assert_allclose(scores(later, shop.item_ids), scores(shop, shop.item_ids), atol=1e-5)
    assert np.isfinite(scores(later, ["more"])).all()
    items.filter(pl.col("item_id") != "i39").write_csv(own / "items.csv")
    fewer = crossrec.load(run, device="cpu")
    found = fewer.recommend(HISTORY, k=39, exclude_seen=False).item_ids
    assert sorted(found) == sorted(set(shop.item_ids) - {"i39"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": {"type": "sampled_softmax"}}, "objective"),
        ({"objective": {"type": "full_softmax", "label_smoothing": 0.1}}, "objective"),
        ({"neighbours": {}}, "neighbours"),
        ({"trainer": {"negatives_from": "catalogue"}}, "negatives_from"),
    ],
)
def test_what_reads_item_vectors_is_refused(
    shop_config: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    content = merge(shop_config, {"model": {"sequence": SEQUENCE}, **changes})
    with pytest.raises(ConfigError, match=f"cross-entropy of codes.*{message}"):
        validate(ExperimentConfig, content, "test")


def test_ids_alone_have_no_codes(train_shop: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="makes ids of frozen content"):
        train_shop("ids", model={"text": None, "image": None, "sequence": SEQUENCE}, rerank=None)
