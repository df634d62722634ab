"""Vectors of items in two classes, and a folder."""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np

generator = np.random.default_rng(0)
classes = np.eye(2, dtype=np.float32)[np.arange(80) % 2]
vectors = (classes @ generator.normal(size=(2, 8)) + generator.normal(size=(80, 8))).astype(np.float32)
folder = Path(mkdtemp()) / "generator"
