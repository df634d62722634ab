"""IDs that start from content: scale, bound, items without content, saving, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import crossrec as cr
from crossrec.config import validate
from crossrec.experiment.prepared import encoded_catalog
from crossrec.model.build import build_network
from crossrec.model.config import ModelConfig
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.relations import align_rows
from crossrec.types import ABSENT, ConfigError, InputError

N, WIDTH, MISSING = 20, 8, 3


def data(cache: Path) -> Any:
    sounds = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32).tolist()
    sounds[MISSING] = None
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(N)], "sound": sounds})
    rows = [
        (f"u{user}", f"i{(user + 3 * step) % N}", 60 * step) for user in range(12) for step in range(N // 2)
    ]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return cr.Dataset(items, log, cache_dir=cache).split("leave_one_out")


def modalities(**options: Any) -> dict[str, Any]:
    return {"sound": {"type": "vectors", "column": "sound"}, "id": {"type": "id", **options}}


def network(cache: Path, **options: Any) -> torch.nn.ModuleDict:
    content = {"modalities": modalities(**options), "width": WIDTH, "whiten": 5}
    config = validate(ModelConfig, content, "test")
    return build_network(config, encoded_catalog(data(cache)), np.ones(N), 0).items.modalities


def ids(parts: torch.nn.ModuleDict) -> ItemIdEmbedding:
    found = parts["id"]
    assert isinstance(found, ItemIdEmbedding)
    return found


@pytest.mark.parametrize("bound", [None, 0.5])
def test_ids_start_at_the_whitened_features_at_their_own_scale(tmp_path: Path, bound: float | None) -> None:
    parts, known = network(tmp_path, start="sound", std=0.3, bound=bound), torch.arange(N) != MISSING
    started, source = ids(parts)(torch.arange(N)), parts["sound"](torch.arange(N))
    assert float(started[known].detach().pow(2).mean().sqrt()) == pytest.approx(0.3, rel=1e-5)
    ratio = started[known, :5] / source[known]
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-4, atol=0)
    assert (started[known, 5:] == 0).all()
    assert bool(torch.isfinite(started).all())
    # An item without content keeps the random values that it has without a start.
    torch.testing.assert_close(started[MISSING], ids(network(tmp_path, std=0.3))(torch.tensor([MISSING]))[0])


def test_std_sets_the_scale_of_random_values(tmp_path: Path) -> None:
    small, large = (ids(network(tmp_path, std=std)).embedding.weight for std in (0.1, 2.0))
    torch.testing.assert_close(20 * small, large)


def test_no_step_takes_a_bounded_id_further_than_its_bound(tmp_path: Path) -> None:
    bounded, rows = ids(network(tmp_path, start="sound", std=1.0, bound=0.25)), torch.arange(N)
    start = bounded(rows).detach()
    with torch.no_grad():
        bounded.embedding.weight[0] = 100.0
        bounded.embedding.weight[1] = 0.01
    moved = (bounded(rows) - start).detach().norm(dim=1)
    assert float(moved[0]) == pytest.approx(0.25 * WIDTH**0.5, rel=1e-5)
    assert float(moved[1]) == pytest.approx(0.01 * WIDTH**0.5, rel=1e-3)
    bounded(rows[:2]).sum().backward()
    gradient = bounded.embedding.weight.grad
    assert gradient is not None
    assert bool(torch.isfinite(gradient).all())
    assert gradient[1].abs().sum() > 0


def test_a_saved_model_keeps_start_and_bound(tmp_path: Path) -> None:
    def model() -> cr.SequentialRecommender:
        return cr.SequentialRecommender(
            modalities=modalities(start="sound", std=0.5, bound=0.5),
            sequence=cr.SASRec(layers=1, max_length=8, dropout=0.0),
            width=WIDTH,
            whiten=5,
        )

    fitted = model().fit(data(tmp_path), epochs=2, lr=0.05, batch_size=8, folder=tmp_path / "run")
    trained = ids(fitted.recommender.network.items.modalities)
    assert trained.embedding.weight.abs().max() > 0
    fitted.save(tmp_path / "saved", pictures="none")
    loaded = cr.load(tmp_path / "saved")
    expected = fitted.loaded.recommend(["i2", "i5"], k=10)
    assert loaded.recommend(["i2", "i5"], k=10).item_ids == expected.item_ids
    own = ids(loaded.recommender.network.items.modalities)
    torch.testing.assert_close(own(torch.arange(N)), trained(torch.arange(N)))


def test_starts_follow_the_items_of_another_catalogue(tmp_path: Path) -> None:
    prefix = "items.modalities.id"
    start = torch.randn(4, 3)
    tensors = {f"{prefix}.embedding.weight": torch.randn(4, 3), f"{prefix}.start": start}
    moved = align_rows(tensors, np.asarray([2, ABSENT, 0]))[f"{prefix}.start"]
    torch.testing.assert_close(moved, torch.stack([start[2], torch.zeros(3), start[0]]))


def test_a_start_without_frozen_features_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no modality 'text'; there are sound, id"):
        network(tmp_path, start="text")
    with pytest.raises(InputError, match=r"id\.start: 'id' is no modality with frozen features; .* sound"):
        network(tmp_path, start="id")
    with pytest.raises(ConfigError, match="name the modality in start"):
        network(tmp_path, bound=0.5)
    with pytest.raises(ConfigError, match="exclude each other"):
        network(tmp_path, start="sound", bound=0.5, smoothing={})
