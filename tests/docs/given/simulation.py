"""Answers to logged lists, and users with random tastes."""

from pathlib import Path

import numpy as np
import polars as pl

from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.simulation.tastes import TasteModel
from crossrec.types import Sequences

generator = np.random.default_rng(0)
propensities_TK = generator.uniform(0.1, 0.9, (50, 3))
target_TK = generator.uniform(0.1, 0.9, (50, 3))
rewards_TK = generator.integers(0, 2, (50, 3))
users_T = generator.integers(0, 20, 50)
columns = {"propensity": propensities_TK, "target": target_TK, "reward": rewards_TK}
rows_of_log = {name: values.ravel() for name, values in columns.items()}
lists_and_places = {"list_id": np.repeat(np.arange(50), 3), "rank": np.tile([1, 2, 3], 50)}
pl.DataFrame({**lists_and_places, **rows_of_log}).write_csv(Path("log.csv"))

tastes = TasteModel(
    tastes_UD=generator.normal(size=(15, 4)).astype(np.float32),
    features_ND=generator.normal(size=(250, 4)).astype(np.float32),
    offset_N=generator.normal(size=250),
    categories_NG=np.eye(3, dtype=np.float32)[np.arange(250) % 3],
    after_purchase_GG=np.zeros((3, 3)),
    purchase=(-0.5, 0.4),
    note="simulated for an example",
    drift_scale_D=np.ones(4),
)
rows = Sequences.from_lists([generator.permutation(250)[:4] for _ in range(15)])
log = Sequences(rows.offsets, rows.items, np.arange(len(rows.items)))


def refit(log: Sequences) -> object:
    """The most clicked items so far."""
    return Popularity.Options().build(ItemTable.of_size(250)).fit(log)
