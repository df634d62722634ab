"""Two fitted recommenders and some histories."""

import numpy as np

from crossrec.baselines import ItemKNNConfig, PopularityConfig
from crossrec.types import Sequences

generator = np.random.default_rng(0)
histories = Sequences.from_lists([generator.permutation(40)[:6] for _ in range(30)])
knn = ItemKNNConfig().build(40).fit(histories)
model = PopularityConfig().build(40).fit(histories)
retriever, large_model = model, knn
