"""Two fitted recommenders and some histories."""

import numpy as np

from crossrec.baselines.context import BaselineContext
from crossrec.baselines.item_knn import ItemKNN
from crossrec.baselines.popularity import Popularity
from crossrec.types import Sequences

generator = np.random.default_rng(0)
histories = Sequences.from_lists([generator.permutation(40)[:6] for _ in range(30)])
knn = ItemKNN.Options().build(BaselineContext(40)).fit(histories)
model = Popularity.Options().build(BaselineContext(40)).fit(histories)
retriever, large_model = model, knn
