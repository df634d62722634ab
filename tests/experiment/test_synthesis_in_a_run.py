"""Synthesis in a fit: fitted on training items alone, hung on the network, gone at evaluation."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.augment.base import Schedule
from crossrec.augment.generators.application import PrincipalComponents, SynthesisUseConfig, SyntheticItems
from crossrec.augment.guard import DataLeakageError, LeakageChecker
from crossrec.config import validate
from crossrec.encoders.cache import Features
from crossrec.experiment.augmentation import build_augmentation, check_augmentation
from crossrec.experiment.config import ExperimentConfig
from crossrec.experiment.prepared import PreparedExperiment
from crossrec.experiment.run_folder import DATA_FILE
from crossrec.experiment.synthesis import Synthesis, SyntheticLookups, segment_classes
from crossrec.experiment.train import train_network
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.recommender import NeuralRecommender
from crossrec.training.parallel import build_accelerator
from crossrec.types import ConfigError, InputError

LOOP = {"steps": 60, "batch_size": 16, "check_every": 30}
GENERATOR = {"type": "beta_vae", "latent": 4, "width": 16, "depth": 1, "loop": LOOP}
SYNTHESIS: dict[str, Any] = {
    "items": {"generator": GENERATOR, "tail_share": 0.2, "ratio": 3, "pool": 4, "share": 0.5},
    "users": {"generator": GENERATOR, "max_clicks": 4, "ratio": 2.0},
    "components": 6,
}
SIMILAR = {"type": "substitute", "similarity": "content"}


@pytest.fixture(scope="module")
def prepared(planted: Any) -> PreparedExperiment:
    return planted.prepared("synthesis", {"synthesis": SYNTHESIS})


def fit(prepared: PreparedExperiment) -> NeuralRecommender:
    recommender = NeuralRecommender(prepared.network())
    accelerator = build_accelerator(prepared.config.trainer, prepared.config.run_folder)
    train_network(prepared, recommender, prepared.data.split.train, accelerator)
    return recommender


def test_only_the_tail_and_few_click_users_grow_by_the_stated_ratio(
    planted: Any, prepared: PreparedExperiment
) -> None:
    train, counts = prepared.data.split.train, prepared.data.split.train_counts
    accelerator = build_accelerator(prepared.config.trainer, prepared.config.run_folder)
    found = build_augmentation(prepared, prepared.network(), train, accelerator)
    items = found.items["text"]
    assert len(items.items)
    assert (items.items % 5 == planted.tail).all()
    assert (counts[items.items] > 0).all()
    assert items.vectors.shape == (len(items.items), 3, planted.width)
    assert found.users is not None
    few = np.flatnonzero((train.lengths >= 2) & (train.lengths <= 4))
    assert len(found.users.rows) == 2 * len(few)
    assert set(found.users.like) == set(few)
    rows = found.source.epoch(0)
    assert rows.augmented_B.sum() == 2 * len(few)
    assert (rows.users_B[rows.augmented_B] >= len(train)).all()
    assert set(found.quality) == {"text features", "user profiles"}


def test_counts_and_ratio_are_kept_and_shown(
    prepared: PreparedExperiment, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(prepared)
    shown = capsys.readouterr().out
    found = json.loads((prepared.config.run_folder / DATA_FILE).read_text())["augmentation"]
    items = found["synthetic_text_items"]
    assert items["synthetic"] is True
    assert items["count"] == 3 * items["enlarged_items"]
    assert found["synthetic_users"]["count"] == found["rows"]["augmented"]
    assert "synthetic users: count" in shown
    assert "generator of text features: " in shown
    assert "coverage" in found["generators"]["text features"]


def synthesis_of(config: ExperimentConfig) -> Any:
    """The configuration's synthesis, which is there."""
    assert config.augment is not None
    return config.augment.synthesis


def test_weights_and_scores_need_no_synthesis(prepared: PreparedExperiment, planted: Any) -> None:
    recommender = fit(prepared)
    recommender.network.eval()
    plain = NeuralRecommender(planted.prepared("plain", None).network())
    assert plain.network.state_dict().keys() == recommender.network.state_dict().keys()
    plain.network.load_state_dict(recommender.network.state_dict())
    histories = prepared.data.split.histories(prepared.data.split.test)
    recommender.refresh()
    assert torch.equal(plain.score(histories), recommender.score(histories))


def test_lookups_are_synthetic_in_training_alone(planted: Any, prepared: PreparedExperiment) -> None:
    network = prepared.network()
    modality = network.items.modalities["text"]
    everything = torch.arange(planted.n)
    original = modality.eval()(everything)
    far = SyntheticItems(np.array([7, 9]), np.full((2, 2, planted.width), 50, np.float32), 54)
    schedule = {"items": {**SYNTHESIS["items"], "share": 1.0, "schedule": {"stop": 0.5}}}
    config = validate(SynthesisUseConfig, schedule, "test").items
    assert config is not None
    assert isinstance(modality, FrozenFeatures)
    SyntheticLookups(far, modality, config.share, config.schedule, 0).attach(modality)
    assert torch.equal(modality(everything), original)
    network.train()
    changed = (modality(everything) != original).any(1)
    assert changed.nonzero().flatten().tolist() == [7, 9]
    network.set_progress(0.9)
    assert torch.equal(modality(everything), original)


def test_an_item_is_synthetic_in_all_its_modalities_or_in_none() -> None:
    originals, items = np.zeros((300, 4), np.float32), torch.arange(300)
    found = SyntheticItems(np.arange(300), np.ones((300, 2, 4), np.float32), 300)
    coins = []
    for _ in ("text", "image"):
        modality = FrozenFeatures(originals, np.ones(300, bool), components=None)
        SyntheticLookups(found, modality, 0.5, Schedule(), 0).attach(modality)
        coins.append((modality.train()(items) != 0).any(1))
    assert torch.equal(*coins)
    assert 100 < coins[0].sum() < 200


def test_generators_are_told_of_the_largest_categories_alone(prepared: PreparedExperiment) -> None:
    accelerator = build_accelerator(prepared.config.trainer, prepared.config.run_folder)
    data = prepared.data
    guard = LeakageChecker(data.split, data.catalog.item_ids, data.clicks.user_ids)
    synthesis = Synthesis(
        prepared, data.split.train, guard, accelerator, SynthesisUseConfig(**SYNTHESIS, max_classes=2)
    )
    synthesis.items(synthesis_of(prepared.config).items, 0)
    (folder,) = (
        path.parent
        for path in (prepared.config.data.cache_dir / "synthesis").glob("*/generator.json")
        if len(json.loads(path.read_text())["class_names"]) == 2
    )
    sizes = data.catalog.category_matrix[data.split.train_counts > 0].sum(0).A1
    told = json.loads((folder / "generator.json").read_text())["class_names"]
    untold = set(data.catalog.category_names) - set(told)
    size = dict(zip(data.catalog.category_names, sizes, strict=True))
    assert min(size[name] for name in told) >= max(size[name] for name in untold)


def test_generators_may_be_told_of_groups_instead(planted: Any) -> None:
    augment = {"synthesis": {**SYNTHESIS, "classes": "segments"}}
    with pytest.raises(ConfigError, match="needs the groups of a section 'segments'"):
        planted.prepared("grouped", augment)
    prepared = planted.prepared("grouped", augment, segments={"users": 3, "items": 4})
    train = prepared.data.split.train
    accelerator = build_accelerator(prepared.config.trainer, prepared.config.run_folder)
    found = build_augmentation(prepared, prepared.network(), train, accelerator)
    assert set(found.quality) == {"text features", "user profiles"}
    found_in = (prepared.config.data.cache_dir / "synthesis").glob("*/generator.json")
    sizes = {
        (path.parent.name.rpartition("-")[0], json.loads(path.read_text())["n_classes"]) for path in found_in
    }
    assert ("text-features", 4) in sizes
    assert ("user-profiles", 3) in sizes
    members, names = segment_classes(prepared)
    assert names == ("0", "1", "2")
    assert members.sum(0).tolist() == prepared.segments.sizes.tolist()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"augment": {"synthesis": {"items": {"spaces": ["image"]}}}}, r"spaces=\['image'\].*\['text'\]"),
        ({"augment": {"synthesis": SYNTHESIS}, "training": "lora"}, "training: frozen"),
        (
            {"augment": {"sequence": {"augmenters": [SIMILAR]}}, "training": "lora"},
            "set similarity: clicks",
        ),
    ],
)
def test_what_lacks_something_is_refused_before_anything_is_written(
    planted: Any, changes: dict[str, Any], told: str
) -> None:
    prepared = planted.prepared("refused", **{"augment": None, **changes})
    with pytest.raises(InputError, match=told):
        check_augmentation(prepared)


def test_features_that_are_not_generated_need_no_tail(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = {"items": {**SYNTHESIS["items"], "spaces": ["text"]}}
    prepared = planted.prepared("refused", {"synthesis": spaces})
    text = prepared.content.text_features(None)
    kinds = np.arange(planted.n) % 5
    heads = Features(text.vectors_ND, kinds != planted.tail, [])
    for module in ("augmentation", "synthesis"):
        monkeypatch.setattr(
            f"crossrec.experiment.{module}.frozen_features",
            lambda prepared: {"text": text, "image": heads},
        )
    check_augmentation(prepared)


def test_a_generator_fitted_on_an_item_without_a_training_click_is_caught(
    prepared: PreparedExperiment,
) -> None:
    data = prepared.data
    guard = LeakageChecker(data.split, data.catalog.item_ids, data.clicks.user_ids)
    # As if counts of the whole log had been handed out: the guard counts for itself.
    data.split.__dict__["train_counts"] = data.split.train_counts + 1
    try:
        accelerator = build_accelerator(prepared.config.trainer, prepared.config.run_folder)
        with pytest.raises(
            DataLeakageError, match=r"PCA of text features would be fitted on .*no training click"
        ):
            Synthesis(prepared, data.split.train, guard, accelerator, synthesis_of(prepared.config)).items(
                synthesis_of(prepared.config).items, 0
            )
    finally:
        data.split.__dict__["train_counts"] = data.split.train_counts - 1


def test_reduction_keeps_what_varies_and_gives_it_back() -> None:
    generator = np.random.default_rng(0)
    flat = generator.normal(size=(40, 3)) @ generator.normal(size=(3, 12)) + 7
    reduction = PrincipalComponents.of(flat, 3)
    back = reduction.direction(reduction(flat)) + reduction.mean
    assert back == pytest.approx(flat, abs=1e-4)
    assert PrincipalComponents.of(flat[:2], 8).axes.shape == (12, 1)
    assert PrincipalComponents.of(flat[:1], 8).axes.shape == (12, 1)
