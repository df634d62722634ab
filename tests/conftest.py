"""What tests of several folders share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("crossrec", deadline=None)
settings.load_profile("crossrec")

N_ITEMS = 30


@pytest.fixture(scope="module")
def id_shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The configuration of a model by ids on a small shop that it can learn; 30 items of five kinds."""
    folder: Path = tmp_path_factory.mktemp("shop")
    generator = np.random.default_rng(0)
    pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "categories": [f"kind {i % 5}" for i in range(N_ITEMS)],
        }
    ).write_csv(folder / "items.csv")
    rows = [
        (f"u{user}", f"i{(user * 7 + step * int(generator.integers(1, 4))) % N_ITEMS}", 100 * step + user)
        for user in range(60)
        for step in range(int(generator.integers(5, 12)))
    ]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        folder / "interactions.csv"
    )
    return {
        "runs_dir": str(folder / "runs"),
        "data": {"source": {"type": "table"}, "root": str(folder), "split": {"type": "leave_one_out"}},
        "model": {
            "text": None,
            "image": None,
            "item_id": True,
            "width": 16,
            "sequence": {"type": "sasrec", "max_length": 8},
        },
        "trainer": {"epochs": 2, "batch_size": 16, "lr": 0.01},
        "spaces": {"text": None, "image": None},
        "baselines": [],
        "evaluation": {"n_bootstrap": 20},
    }
