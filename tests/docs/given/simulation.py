"""Answers to logged lists, and users with random tastes."""

import numpy as np

from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.simulation.tastes import TasteModel
from crossrec.types import Sequences

generator = np.random.default_rng(0)
propensities_TK = generator.uniform(0.1, 0.9, (50, 3))
target_TK = generator.uniform(0.1, 0.9, (50, 3))
rewards_TK = generator.integers(0, 2, (50, 3))
users_T = generator.integers(0, 20, 50)

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
