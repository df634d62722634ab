"""A small shop whose texts are known by planted vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.config import validate
from crossrec.data.dataset import Dataset
from crossrec.encoders.cache import Features
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.model.encoded_catalog import EncodedCatalog

N_ITEMS, WIDTH, TAIL = 60, 10, 4


class PlantedContent(EncodedCatalog):
    """Texts are known by vectors that show their category; item 3 has none."""

    def text_features(self, config: Any, column: str = "text") -> Features:
        generator = np.random.default_rng(5)
        vectors = generator.normal(size=(N_ITEMS, WIDTH)).astype(np.float32)
        vectors[np.arange(N_ITEMS), np.arange(N_ITEMS) % 5] += 4
        present = np.arange(N_ITEMS) != 3
        vectors[~present] = 0
        return Features(vectors, present, [])


@dataclass(frozen=True)
class PlantedShop:
    """Five kinds of items in turn, the last kind rarely clicked, the last five items never.

    Args:
        folder: of the files.
    """

    folder: Path
    n: int = N_ITEMS
    width: int = WIDTH
    tail: int = TAIL

    def prepared(
        self, name: str, augment: dict[str, Any] | None, training: str = "frozen", **changes: Any
    ) -> PreparedExperiment:
        """An experiment on the shop, its features planted."""
        content = {
            "name": name,
            "runs_dir": str(self.folder / "runs"),
            "data": {
                "source": {"type": "table"},
                "root": str(self.folder),
                "cache_dir": str(self.folder / "cache"),
                "split": {"type": "leave_one_out"},
            },
            "model": {
                "text": {"training": training},
                "image": None,
                "width": 16,
                "whiten": 8,
                "sequence": {"type": "sasrec", "max_length": 8},
            },
            "trainer": {"epochs": 1, "batch_size": 32},
            "spaces": {"text": None, "image": None},
            "baselines": [],
            "augment": augment,
            **changes,
        }
        config = validate(ExperimentConfig, content, "test")
        data = Dataset.from_config(config.data).split()
        return PreparedExperiment(config, data, PlantedContent(data.catalog, config.data.cache_dir))


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedShop:
    """Written once."""
    folder: Path = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(0)
    kinds = np.arange(N_ITEMS) % 5
    pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "text": [f"thing {i}" for i in range(N_ITEMS)],
            "categories": [f"kind {kind}" for kind in kinds],
        }
    ).write_csv(folder / "items.csv")
    chance = np.where(kinds == TAIL, 0.1, 1.0) * (np.arange(N_ITEMS) < 55)
    rows = []
    for user in range(80):
        length = int(generator.integers(4, 10))
        items = generator.choice(N_ITEMS, length, replace=False, p=chance / chance.sum())
        rows += [(f"u{user}", f"i{item}", 100 * step + user) for step, item in enumerate(items)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    return PlantedShop(folder)
