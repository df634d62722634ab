"""Does a small shop that follows the README beat popularity and item-kNN? 150 products, 300 shoppers.

    python benchmarks/small_shop.py [--seeds 1 2 3 4 5] [--taste 1.5] [--split valid] [KEY=VALUE ...]

Writes a generated shop (two CSV files and pictures) for every seed, trains ``configs/table_example.yaml``
on it as it stands, mixes it with item-kNN by weights learned on validation (``crossrec ensemble``), and
prints ndcg@10 and recall@10 on the test clicks beside popularity and item-kNN, then asks "why?" for
products that were recommended. The category shows in text and picture, the color only in the picture, the
style only in the text; shoppers have tastes for all three, and products differ in popularity. Defaults were
chosen on test clicks of shops of other seeds (11 and up) than the five of the table.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

import crossrec
from crossrec.cli.runs import evaluate, train
from crossrec.cli.studies import ensemble

ROOT = Path(__file__).parents[1]
METRICS = ("ndcg@10", "recall@10")
MODEL, MIXED, BASELINES = "model", "model and item-kNN", ("item-knn-bm25", "popularity")
COLORS = {
    "red": (205, 40, 45), "blue": (40, 80, 190), "green": (50, 150, 70), "yellow": (235, 200, 50),
    "black": (35, 35, 40), "pink": (240, 150, 180), "white": (238, 236, 228), "brown": (130, 85, 50),
}  # fmt: skip
STYLES = {
    "wool": "Warm wool for cold winter evenings, knitted by hand.",
    "linen": "Cool linen for summer days at the beach.",
    "leather": "Sturdy leather for motorcycle trips and long travel.",
    "cotton": "Soft organic cotton for babies and sensitive skin.",
    "silk": "Fine silk for weddings and festive dinners.",
    "rubber": "Waterproof rubber for gardening and rainy walks.",
}
CATEGORIES = {
    "Hats": "a hat with a broad brim",
    "Bags": "a bag with two handles",
    "Shoes": "a pair of low shoes",
    "Lamps": "a table lamp with a shade",
    "Cushions": "a square cushion for the sofa",
    "Mugs": "a mug for coffee and tea",
}


@dataclass(frozen=True)
class Shop:
    """Parameters of a generated shop.

    Args:
        seed: of everything that is drawn.
        products: number of products.
        shoppers: number of shoppers.
        clicks: mean clicks of a shopper.
        taste: how strongly tastes for category, color and style decide clicks.
        popularity: standard deviation of the products' popularity, in the same units.
    """

    seed: int = 0
    products: int = 150
    shoppers: int = 300
    clicks: float = 10.0
    taste: float = 1.5
    popularity: float = 0.7

    def write(self, folder: Path) -> Path:
        """Writes items.csv, interactions.csv and photos/ unless they are there."""
        if (folder / "interactions.csv").exists():
            return folder
        generator = np.random.default_rng(self.seed)
        names = [tuple(CATEGORIES), tuple(COLORS), tuple(STYLES)]
        kinds = np.stack([generator.integers(0, len(n), self.products) for n in names])
        self._write_products(folder, kinds, generator)
        appeal = self.popularity * generator.normal(size=self.products)
        rows: list[tuple[str, str, int]] = []
        for shopper in range(self.shoppers):
            tastes = [self.taste * generator.normal(size=len(n)) for n in names]
            utility = appeal + sum(t[k] for t, k in zip(tastes, kinds, strict=True))
            count = min(2 + generator.poisson(self.clicks - 2), self.products)
            # Gumbel noise: the clicks are drawn without replacement by exp(utility).
            order = np.argsort(-(utility + generator.gumbel(size=self.products)))[:count]
            times = np.sort(generator.integers(0, 365 * 86400, count)) + 1_700_000_000
            clicks = zip(generator.permutation(order), times, strict=True)
            rows += [(f"c{shopper}", sku(product), int(time)) for product, time in clicks]
        _write_csv(folder / "interactions.csv", ("customer", "sku", "time"), rows)
        return folder

    def _write_products(self, folder: Path, kinds: np.ndarray, generator: np.random.Generator) -> None:
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        rows = []
        for product, (category, color, style) in enumerate(kinds.T.tolist()):
            category, style = list(CATEGORIES)[category], list(STYLES)[style]
            picture = draw(category, list(COLORS.values())[color], generator)
            picture.save(folder / "photos" / f"{sku(product)}.png")
            text = f"{STYLES[style]} This is {CATEGORIES[category]}."
            price = round(float(generator.uniform(5, 90)), 2)
            name = f"{style.title()} {category[:-1].lower()} no. {generator.integers(100, 999)}"
            rows.append((sku(product), name, text, category, price, f"{sku(product)}.png"))
        _write_csv(folder / "items.csv", ("sku", "name", "description", "category", "price", "photo"), rows)


def sku(product: int) -> str:
    """The id of a product."""
    return f"P{product:03d}"


def draw(category: str, color: tuple[int, int, int], generator: np.random.Generator) -> Image.Image:
    """A product of about this color on a light ground, a little moved and shaded."""
    shade = tuple(int(np.clip(part + generator.normal(0, 12), 0, 255)) for part in color)
    ground = tuple(int(part) for part in generator.integers(205, 250, 3))
    picture = Image.new("RGB", (128, 128), ground)
    pen = ImageDraw.Draw(picture)
    x, y = generator.integers(-8, 9, 2).tolist()
    s = float(generator.uniform(0.85, 1.1))

    def box(left: float, top: float, right: float, bottom: float) -> list[float]:
        return [64 + x + s * (v - 64) if i % 2 == 0 else 64 + y + s * (v - 64)
                for i, v in enumerate((left, top, right, bottom))]  # fmt: skip

    outline = (60, 60, 60)
    match category:
        case "Hats":
            pen.ellipse(box(14, 70, 114, 98), fill=shade, outline=outline)
            pen.pieslice(box(34, 34, 94, 110), 180, 360, fill=shade, outline=outline)
        case "Bags":
            pen.arc(box(44, 18, 84, 78), 180, 360, fill=shade, width=7)
            pen.rectangle(box(26, 48, 102, 106), fill=shade, outline=outline)
        case "Shoes":
            for left in (12, 68):
                pen.ellipse(box(left, 60, left + 48, 92), fill=shade, outline=outline)
                pen.rectangle(box(left, 44, left + 20, 80), fill=shade, outline=outline)
        case "Lamps":
            pen.rectangle(box(60, 60, 68, 108), fill=(90, 90, 90))
            pen.ellipse(box(42, 102, 86, 114), fill=(90, 90, 90))
            pen.pieslice(box(24, 10, 104, 110), 215, 325, fill=shade, outline=outline)
        case "Cushions":
            pen.rounded_rectangle(box(24, 24, 104, 104), 16, fill=shade, outline=outline, width=2)
            pen.line(box(24, 24, 104, 104), fill=outline)
        case _:
            pen.rectangle(box(34, 36, 86, 104), fill=shade, outline=outline)
            pen.arc(box(76, 48, 110, 88), 270, 90, fill=shade, width=8)
    return picture


def _write_csv(path: Path, columns: tuple[str, ...], rows: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


@dataclass(frozen=True)
class Outcome:
    """Results on one shop.

    Args:
        metrics: recommender -> metric -> value.
        asked: products that were asked about.
        unexplained: the first reason why something of an explanation is missing; None where nothing is.
    """

    metrics: dict[str, dict[str, float]]
    asked: int
    unexplained: str | None


def follow_readme(
    shop: Shop, out: Path, overrides: Sequence[str] = (), *, split: str = "test", ask: int = 3
) -> Outcome:
    """Writes the shop, trains the example configuration on it, and asks about recommended products.

    Args:
        shop: to be written.
        out: gets the shop, the run and the cached features.
        overrides: of the configuration.
        split: ``test``, or ``valid``, whose clicks chose the mix's weights, so that it is left out there.
        ask: shoppers whose first recommendations are asked about.
    """
    name = "-".join(f"{getattr(shop, field.name):g}" for field in fields(shop))
    root = shop.write(out / "shops" / name)
    arguments = [
        f"data.root={root}",
        f"name={name}",
        f"runs_dir={out / 'runs'}",
        f"data.cache_dir={out / 'cache'}",
    ]
    _must_succeed(train([str(ROOT / "configs" / "table_example.yaml"), *arguments, *overrides]))
    run = out / "runs" / name
    folder = run / "eval" / split
    metrics: dict[str, dict[str, float]] = {}
    if split == "test":
        mixed = out / "ensembles" / name
        _must_succeed(ensemble(["item_knn", str(run), "--tune", "--out", str(mixed)]))
        metrics[MIXED] = read_metrics(mixed / "eval" / "test")
    else:
        _must_succeed(evaluate([str(run), "--split", split]))
    metrics[MODEL] = read_metrics(folder)
    metrics |= {baseline: read_metrics(folder / "baselines" / baseline) for baseline in BASELINES}
    loaded = crossrec.load(run)
    missing: list[str] = []
    products: set[str] = set()
    for user in loaded.user_ids[:ask]:
        history = loaded.history_of(user)
        for place in loaded.recommend(history, k=3):
            products.add(place.item_id)
            missing += loaded.explain(history, place.item_id).left_out.values()
    return Outcome(metrics, len(products), missing[0] if missing else None)


def _must_succeed(code: int) -> None:
    if code:
        raise SystemExit(code)


def read_metrics(folder: Path) -> dict[str, float]:
    """Metric -> value, of one recommender."""
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {metric: float(found[metric]["value"]) for metric in METRICS}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as model.whiten=256")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="of the shops")
    parser.add_argument("--shoppers", type=int, default=Shop.shoppers)
    parser.add_argument("--products", type=int, default=Shop.products)
    parser.add_argument("--taste", type=float, default=Shop.taste, help="strength of the shoppers' tastes")
    parser.add_argument("--popularity", type=float, default=Shop.popularity, help="spread of the products'")
    parser.add_argument("--split", choices=("test", "valid"), default="test", help="clicks to measure on")
    parser.add_argument("--out", type=Path, default=Path("runs/small_shop"), help="of shops and runs")
    given = parser.parse_args()
    outcomes = []
    for seed in given.seeds:
        shop = Shop(seed, given.products, given.shoppers, taste=given.taste, popularity=given.popularity)
        outcomes.append(follow_readme(shop, given.out, given.overrides, split=given.split))
    columns = [f"{metric}, seed {seed}" for metric in METRICS[:1] for seed in given.seeds]
    table = Table("recommender", *columns, *(f"mean {metric}" for metric in METRICS))
    for name in [name for name in (MODEL, MIXED, *BASELINES) if name in outcomes[0].metrics]:
        values = {metric: [outcome.metrics[name][metric] for outcome in outcomes] for metric in METRICS}
        each = [f"{value:.4f}" for value in values[METRICS[0]]]
        table.add_row(name, *each, *(f"{np.mean(values[metric]):.4f}" for metric in METRICS))
    console = Console(width=max(100, 30 + 18 * len(columns)))
    console.print(table)
    gaps = [outcome.unexplained for outcome in outcomes if outcome.unexplained]
    asked = sum(outcome.asked for outcome in outcomes)
    console.print(f"{asked} products asked about, {'all explained' if not gaps else gaps[0]}")


if __name__ == "__main__":
    main()
