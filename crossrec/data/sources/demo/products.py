"""Products: attributes, prices, launch days and missing parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from crossrec.config import ComponentOptions
from crossrec.data.sources.demo.vocabulary import CATEGORIES, LEVELS, MATERIALS, PRICE_FACTORS


class StorefrontOptions(ComponentOptions):
    """Size of a generated storefront: products with pictures and texts, and shoppers who click.

    Args:
        n_products: N, size of the catalogue.
        n_shoppers: U, shoppers.
        seed: seed of everything that is drawn.
        days: length of the log.
        clicks_per_shopper: mean clicks of a shopper.
        image_size: width and height of the pictures in pixels.
        missing_image_share: products without a picture.
        missing_text_share: products without a text (never one without a picture).
        new_product_share: products launched in the last tenth of the log.
    """

    n_products: int = Field(2000, ge=60, le=1_000_000)
    n_shoppers: int = Field(3000, ge=1, le=10_000_000)
    seed: int = Field(0, ge=0)
    days: int = Field(365, ge=60, le=100_000)
    clicks_per_shopper: float = Field(25.0, ge=4, le=100)
    image_size: int = Field(96, ge=32, le=512)
    missing_image_share: float = Field(0.1, ge=0, le=0.5)
    missing_text_share: float = Field(0.03, ge=0, le=0.5)
    new_product_share: float = Field(0.05, ge=0, le=0.3)


POPULARITY_SCALE = 1.0

POPULARITY_RANGE = (-1.4, 2.6)

LATE_SHARE = 0.3


@dataclass(frozen=True)
class Products:
    """Attributes of N products.

    Args:
        levels: (N,) int64 level of each attribute, keyed as in ``vocabulary.LEVELS``.
        price: (N,) float64.
        popularity: (N,) float64, the part of the utility that all shoppers share.
        launch_day: (N,) int64, first day on which a product can be clicked; 0 = from the start.
        has_image: (N,) bool.
        has_text: (N,) bool.
    """

    levels: dict[str, np.ndarray]
    price: np.ndarray
    popularity: np.ndarray
    launch_day: np.ndarray
    has_image: np.ndarray
    has_text: np.ndarray

    def __len__(self) -> int:
        return len(self.price)


def draw_products(options: StorefrontOptions, rng: np.random.Generator) -> Products:
    """Draw the catalogue; colour, pattern, material and occasion are independent of each other."""
    n = options.n_products
    share = np.asarray([category.share for category in CATEGORIES])
    category = rng.choice(len(CATEGORIES), n, p=share / share.sum())
    levels = {name: rng.integers(count, size=n) for name, count in LEVELS.items()}
    levels["category"] = category
    levels["material"] = _materials(category, rng)
    levels["price"] = np.minimum(rng.binomial(len(PRICE_FACTORS) - 1, 0.5, n), len(PRICE_FACTORS) - 1)
    has_image, has_text = _missing(options, rng)
    low, high = POPULARITY_RANGE
    return Products(
        levels=levels,
        price=_prices(levels, rng),
        popularity=np.clip(POPULARITY_SCALE * rng.standard_normal(n), low, high),
        launch_day=_launch_days(options, rng),
        has_image=has_image,
        has_text=has_text,
    )


def _materials(category: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    choices = [[MATERIALS.index(material) for material in c.materials] for c in CATEGORIES]
    position = rng.random(len(category))
    return np.asarray(
        [choices[c][int(p * len(choices[c]))] for c, p in zip(category, position, strict=True)],
        dtype=np.int64,
    )


def _prices(levels: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    typical = np.asarray([category.price for category in CATEGORIES])[levels["category"]]
    factor = np.asarray(PRICE_FACTORS)[levels["price"]]
    exact = typical * factor * rng.uniform(0.88, 1.12, len(typical))
    return np.floor(exact) + rng.choice([0.0, 0.5, 0.9, 0.95, 0.99], len(typical))


def _launch_days(options: StorefrontOptions, rng: np.random.Generator) -> np.ndarray:
    """New products start in the last tenth; others are spread over the first three quarters."""
    n, n_new = options.n_products, round(options.new_product_share * options.n_products)
    order = rng.permutation(n)
    days = np.zeros(n, dtype=np.int64)
    days[order[:n_new]] = rng.integers(round(0.91 * options.days), round(0.96 * options.days), n_new)
    later = order[n_new : n_new + round(LATE_SHARE * n)]
    days[later] = rng.integers(1, round(0.7 * options.days), len(later))
    return days


def _missing(options: StorefrontOptions, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n = options.n_products
    order = rng.permutation(n)
    n_image, n_text = round(options.missing_image_share * n), round(options.missing_text_share * n)
    has_image, has_text = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
    has_image[order[:n_image]] = False
    has_text[order[n_image : n_image + n_text]] = False
    return has_image, has_text
