"""Do new items reach the shoppers who like them? Items added to a run on the demo, with no retraining.

    python benchmarks/cold_items.py RUN [--new 60] [-k 10]

Draws products that the storefront never had, adds them by text and picture, and lists k items for every
shopper. The demo's truth says how well a product suits a shopper at the log's end; that of all shoppers on
average is taken off, so that a product that everybody likes gains nothing. A row of the table tells of a
group of products: how many are in some list, in how many places, and how far the true taste of those who are
shown them lies above the mean shopper's, in units of utility: the mean over products of each product's mean.
Beside the new products stand those of the catalogue, by their training clicks; "in errors" is the taste in
standard errors over products.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import crossrec
from crossrec.data.sources.demo.source import DemoSource, draw_new_products, truth_with_new_products
from crossrec.data.sources.demo.truth import DemoTruth
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError

SEED = 7
AT_A_TIME = 512
"""Shoppers whose lists are made together."""
BANDS = ((0, 0), (1, 5), (6, 20), (21, None))
"""Training clicks of known products, both ends included."""


@dataclass(frozen=True)
class Shown:
    """Places of lists.

    Args:
        rows: (P,) catalogue index of the item in each place.
        above: (P,) true taste of the shopper for it, above the mean shopper's.
    """

    rows: np.ndarray
    above: np.ndarray

    def of(self, some_N: np.ndarray) -> Shown:
        """The places of some items, (N,) bool."""
        kept = some_N[self.rows]
        return Shown(self.rows[kept], self.above[kept])

    def mean_and_error(self) -> tuple[float, float]:
        """Mean over items of each item's mean, and its standard error; NaN with fewer than two items."""
        items = np.unique(self.rows)
        if len(items) < 2:
            return float("nan"), float("nan")
        means = np.asarray([self.above[self.rows == item].mean() for item in items])
        return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def add_new_products(shop: LoadedRecommender, count: int) -> DemoTruth:
    """Adds them, and gives the truth of all products, the new ones last.

    Raises:
        InputError: the recommender was not trained on the demo.
    """
    source = shop.config.data.source
    if not isinstance(source, DemoSource.Options):
        raise InputError(f"{shop.name}: only the demo's truth is known; train configs/demo.yaml")
    truth = DemoTruth.load(source.folder(shop.config.data.cache_dir))
    known = np.asarray([int(item_id[1:]) for item_id in shop.item_ids])
    products, rows = draw_new_products(count, source.image_size, SEED)
    shop.add_items(rows)
    return truth_with_new_products(truth, known, products)


def everybodys_lists(shop: LoadedRecommender, truth: DemoTruth, k: int) -> Shown:
    """All places of all shoppers' lists at the end of the log."""
    users = list(shop.user_ids)
    shoppers = np.asarray([int(user[1:]) for user in users])
    times = shop.users.histories(users).times
    assert times is not None
    now = np.full(len(users), int(times.max()))
    rows_UK = np.concatenate(list(_lists(shop, users, k)))
    taste_UN = np.stack(
        [truth.affinity(shoppers, now, np.full(len(users), row)) for row in range(shop.n_items)], 1
    )
    above_UN = taste_UN - taste_UN.mean(0)
    user, place = np.nonzero(rows_UK >= 0)
    rows = rows_UK[user, place]
    return Shown(rows, above_UN[user, rows])


def _lists(shop: LoadedRecommender, users: list[str], k: int) -> Iterator[np.ndarray]:
    for start in range(0, len(users), AT_A_TIME):
        found = shop.recommend_many(user_ids=users[start : start + AT_A_TIME], k=k)
        rows_BK = np.full((len(found), k), -1)
        for rows_K, places in zip(rows_BK, found, strict=True):
            rows_K[: len(places)] = [place.row for place in places]
        yield rows_BK


def groups(shop: LoadedRecommender, n_new: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and (N,) bool of each group of products."""
    new_N = np.arange(shop.n_items) >= shop.n_items - n_new
    yield "new", new_N
    counts_N = shop.items.train_counts
    for low, high in BANDS:
        name = f"{low}" if high == low else f"{low} or more" if high is None else f"{low} to {high}"
        inside_N = counts_N >= low if high is None else (counts_N >= low) & (counts_N <= high)
        yield f"known, {name} clicks", inside_N & ~new_N


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--new", type=int, default=60, help="products to add")
    parser.add_argument("-k", type=int, default=10, help="length of a list")
    args = parser.parse_args()
    shop = crossrec.load(args.run)
    shown = everybodys_lists(shop, add_new_products(shop, args.new), args.k)
    table = Table(title=f"{shop.name}: lists of {args.k} for {len(shop.user_ids):,} generated shoppers")
    for name in ("products", "number", "listed", "places", "taste above mean", "in errors"):
        table.add_column(name, justify="left" if name == "products" else "right")
    for name, some_N in groups(shop, args.new):
        own = shown.of(some_N)
        mean, error = own.mean_and_error()
        counts = [int(some_N.sum()), len(np.unique(own.rows)), len(own.rows)]
        taste = [f"{mean:.2f} ± {error:.2f}", f"{mean / error:.1f}"] if np.isfinite(mean) else ["", ""]
        table.add_row(name, *(f"{count:,}" for count in counts), *taste)
    Console().print(table)


if __name__ == "__main__":
    main()
