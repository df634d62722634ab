"""The demo run's parts, a history and an item."""

from PIL import Image

import crossrec
from crossrec.types import Sequences

loaded = crossrec.load("runs/demo")
recommender, catalog, config = loaded.recommender, loaded.catalog, loaded.config
histories, item = Sequences.from_lists([[1, 2]]), 5
picture = Image.new("RGB", (32, 32), "red")
