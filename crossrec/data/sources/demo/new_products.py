"""Draws products that a storefront never had, as a shop would add them, with what is true of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from crossrec.data.sources.demo.config import DemoConfig
from crossrec.data.sources.demo.descriptions import write_title_and_text
from crossrec.data.sources.demo.pictures import Painter
from crossrec.data.sources.demo.products import Products, draw_products
from crossrec.data.sources.demo.truth import DemoTruth


def draw_new_products(count: int, image_size: int, seed: int) -> tuple[Products, list[dict[str, Any]]]:
    """Draws products as the storefront draws its own; each has a text and a picture.

    Args:
        count: number of products, at least 60 as in ``DemoConfig.n_products``.
        image_size: width and height of the pictures in pixels.
        seed: of everything that is drawn.

    Returns:
        The products, and the row that describes each: ``item_id`` (``NEW000`` and on), ``title``, ``text``,
        ``image`` (the bytes of a picture file), ``price``.
    """
    products = draw_products(DemoConfig(n_products=count, image_size=image_size), np.random.default_rng(seed))
    generator, painter, rows = np.random.default_rng(seed + 1), Painter(image_size), []
    for number in range(count):
        level = {name: int(values[number]) for name, values in products.levels.items()}
        title, text = write_title_and_text(level["category"], level["material"], level["occasion"], generator)
        picture = painter.draw(level["category"], level["colour"], level["pattern"], generator)
        row = {"item_id": f"NEW{number:03d}", "title": title, "text": text, "image": picture}
        rows.append(row | {"price": float(products.price[number])})
    return products, rows


def truth_with_new_products(truth: DemoTruth, known: np.ndarray, products: Products) -> DemoTruth:
    """The truth of a catalogue to which products were added after the end of its log.

    Args:
        truth: of the storefront.
        known: (N,) numbers of the catalogue's own products, in its order.
        products: the added ones; they come last.
    """
    return replace(
        truth,
        levels={
            name: np.concatenate([levels[known], products.levels[name]])
            for name, levels in truth.levels.items()
        },
        popularity=np.concatenate([truth.popularity[known], products.popularity]),
        launch_day=np.concatenate([truth.launch_day[known], np.full(len(products), truth.days)]),
    )
