"""A folder as a reader of the documentation has it: a small trained demo run, and the configurations."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest

from crossrec.config import load_config
from crossrec.experiment.config import ExperimentConfig

REPOSITORY = Path(__file__).parents[2]
SMALL = [
    "data.source={type: demo, n_products: 60, n_shoppers: 100, image_size: 32, clicks_per_shopper: 12}",
    "model.text.max_tokens=16",
    "model.image={type: timm, model: test_resnet, weights: random, image_size: 32}",
    "model.whiten=16",
    "model.width=16",
    "model.sequence={type: sasrec, max_length: 12}",
    "spaces.text.max_tokens=16",
    "spaces.image={type: timm, model: test_resnet, weights: random, image_size: 32}",
    "trainer.epochs=1",
    "trainer.eval_every=1",
    "baselines=[{type: popularity}]",
    "evaluation.n_bootstrap=10",
]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; ``runs/demo`` is the demo with fewer products, a smaller model and one epoch."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "configs").symlink_to(REPOSITORY / "configs")
    config = load_config(ExperimentConfig, REPOSITORY / "configs" / "demo.yaml", SMALL)
    from crossrec.serving.training import run_training

    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        run_training(config)
    return folder
