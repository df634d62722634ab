"""Two fitted recommenders and some histories."""

import numpy as np

from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.popularity import Popularity
from crossrec.data.item_table import ItemTable
from crossrec.types import Sequences

generator = np.random.default_rng(0)
histories = Sequences.from_lists([generator.permutation(40)[:6] for _ in range(30)])
knn = ItemKNN.Options().build(ItemTable.of_size(40)).fit(histories)
model = Popularity.Options().build(ItemTable.of_size(40)).fit(histories)
retriever, large_model = model, knn
