"""The attributes of the storefront's products, and which levels each category allows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One kind of product.

    Args:
        name: as it stands in the ``categories`` column.
        department: the broader category.
        nouns: interchangeable names in titles and texts.
        materials: what it can be made of.
        price: typical price at the middle price level.
        share: relative number of products.
        complement: the category that a purchase leads to, if any.
    """

    name: str
    department: str
    nouns: tuple[str, ...]
    materials: tuple[str, ...]
    price: float
    share: float
    complement: str | None = None


CATEGORIES = (
    Category(
        "dress", "clothing", ("dress", "frock"), ("cotton", "linen", "silk", "velvet"), 70, 1.3, "handbag"
    ),
    Category(
        "t-shirt", "clothing", ("T-shirt", "tee"), ("cotton", "linen", "wool", "bamboo"), 24, 1.3, "sneaker"
    ),
    Category(
        "sneaker", "shoes", ("sneaker", "trainer"), ("leather", "canvas", "wool", "nylon"), 80, 1.3, "sock"
    ),
    Category(
        "sock", "clothing", ("sock pair", "pair of socks"), ("cotton", "wool", "bamboo", "silk"), 11, 0.9
    ),
    Category(
        "handbag", "bags", ("handbag", "shoulder bag"), ("leather", "canvas", "velvet", "denim"), 95, 1.0
    ),
    Category(
        "backpack",
        "bags",
        ("backpack", "rucksack"),
        ("canvas", "leather", "nylon", "denim"),
        75,
        1.0,
        "bottle",
    ),
    Category(
        "bottle",
        "kitchen",
        ("water bottle", "drinking bottle"),
        ("steel", "glass", "bamboo", "ceramic"),
        26,
        0.8,
    ),
    Category(
        "coffee maker", "kitchen", ("coffee maker",), ("steel", "glass", "brass", "ceramic"), 65, 0.8, "mug"
    ),
    Category("mug", "kitchen", ("mug", "coffee cup"), ("ceramic", "glass", "steel", "bamboo"), 15, 1.1),
    Category(
        "chair", "furniture", ("chair", "seat"), ("oak", "steel", "leather", "velvet"), 160, 0.9, "cushion"
    ),
    Category(
        "cushion", "furniture", ("cushion", "throw pillow"), ("linen", "velvet", "wool", "cotton"), 30, 0.9
    ),
    Category(
        "lamp", "furniture", ("lamp", "table light"), ("brass", "ceramic", "glass", "oak"), 60, 0.9, "chair"
    ),
)

MATERIALS = tuple(sorted({material for category in CATEGORIES for material in category.materials}))
"""Named in the text only, each always by this very word."""

OCCASIONS = {
    "camping": ("camping trips", "a week of camping", "nights at the campsite"),
    "office": ("the office", "office days", "long days at the office"),
    "beach": ("the beach", "days at the seaside", "a beach holiday"),
    "wedding": ("a wedding", "the wedding season", "a friend's wedding"),
    "picnic": ("a picnic in the park", "picnic afternoons", "summer picnics"),
    "travel": ("travel and city breaks", "long-haul travel", "travel days"),
    "student": ("student life", "a first student flat", "student halls"),
    "dinner": ("dinner parties", "a dinner with friends", "late dinners"),
}
"""Named in the text only, by one of these phrases."""

COLOURS = {
    "red": (205, 48, 50),
    "orange": (236, 128, 38),
    "yellow": (240, 200, 52),
    "green": (74, 152, 76),
    "teal": (38, 148, 150),
    "blue": (54, 102, 192),
    "purple": (124, 76, 166),
    "pink": (234, 130, 168),
    "brown": (128, 86, 56),
    "charcoal": (62, 64, 70),
}
"""Shown in the picture only."""

PATTERNS = ("plain", "stripes", "dots", "checks", "zigzag", "flowers")
"""Shown in the picture only."""

PRICE_FACTORS = (0.45, 0.7, 1.0, 1.5, 2.3)
"""Price levels, as factors on the category's typical price."""

LEVELS = {
    "category": len(CATEGORIES),
    "price": len(PRICE_FACTORS),
    "colour": len(COLOURS),
    "pattern": len(PATTERNS),
    "material": len(MATERIALS),
    "occasion": len(OCCASIONS),
}
"""Number of levels of each attribute, in the order in which taste vectors hold them."""


def complements() -> list[int]:
    """Category index that a purchase in each category leads to, -1 for none."""
    names = [category.name for category in CATEGORIES]
    return [-1 if c.complement is None else names.index(c.complement) for c in CATEGORIES]
