"""A byte that changed on disk is found: made again where that can be, else told in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.augment.content.text.paraphrase_store import RecordStore
from crossrec.augment.generators.gaussian import Gaussian
from crossrec.augment.generators.store import Generator, load_generator
from crossrec.data.sources.demo.source import DemoSource
from crossrec.encoders.cache import FeatureCache
from crossrec.runtime.files import damage, is_sound, write_checksum, write_checksums
from crossrec.studies.tradeoff.runs import PointStore
from crossrec.training.checkpoint import Checkpoints, Progress, load_trained_state, save_state
from crossrec.types import InputError


def flip(path: Path, place: int = -1) -> None:
    """Changes one bit."""
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(bytes(data))


def test_every_changed_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(40)))
    assert not is_sound(path)
    write_checksum(path)
    for place in range(40):
        assert is_sound(path)
        flip(path, place)
        assert not is_sound(path)
        flip(path, place)


def test_a_folder_names_its_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a").write_text("content")
    (tmp_path / "b").write_text("more")
    assert damage(tmp_path) is None
    write_checksums(tmp_path)
    assert damage(tmp_path) is None
    flip(tmp_path / "below" / "a")
    assert "below/a is damaged" in str(damage(tmp_path))
    assert damage(tmp_path, ("b",)) is None
    (tmp_path / "below" / "a").unlink()
    assert "below/a is missing" in str(damage(tmp_path))
    (tmp_path / "checksums.json").write_text("[1")
    assert "can't be read" in str(damage(tmp_path))


def features(folder: Path) -> np.ndarray:
    cache: FeatureCache[int] = FeatureCache(folder, "encoder", 4, block_size=3)
    found = cache.encode_catalog(
        [f"item {i}" for i in range(8)],
        lambda rows: rows.tolist(),
        lambda raws: np.asarray(raws, np.float32)[:, None] + np.arange(4, dtype=np.float32),
    )
    return np.array(found.vectors_ND)


def test_assembled_features_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = features(tmp_path)
    (path,) = tmp_path.glob("*/catalog-*.npy")
    flip(path)
    np.testing.assert_array_equal(features(tmp_path), whole)
    assert "is damaged and is made again" in caplog.text
    path.with_name(path.name + ".crc32").unlink()
    np.testing.assert_array_equal(features(tmp_path), whole)
    assert "has no checksum and is made again" in caplog.text


def test_a_damaged_block_is_removed_and_told(tmp_path: Path) -> None:
    whole = features(tmp_path)
    (path,) = tmp_path.glob("*/catalog-*.npy")
    path.unlink()
    block = min(tmp_path.glob("*/blocks/*.npz"))
    with np.load(block) as content:
        vector = content["vectors"].tobytes()
    flip(block, block.read_bytes().index(vector))
    with pytest.raises(InputError, match="damaged feature block"):
        features(tmp_path)
    np.testing.assert_array_equal(features(tmp_path), whole)


def test_a_damaged_storefront_is_generated_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = DemoSource.Options(n_products=60, n_shoppers=5, image_size=32)
    titles = config.build(None, tmp_path).load().catalog.column("title").to_pylist()
    items = config.folder(tmp_path) / "items.arrow"
    place = items.read_bytes().index(titles[0].encode())
    flip(items, place)
    assert config.build(None, tmp_path).load().catalog.column("title").to_pylist() == titles
    assert "items.arrow is damaged" in caplog.text


def test_a_damaged_generator_is_refused(tmp_path: Path) -> None:
    config = Gaussian.Options(min_samples=2)
    samples_NW = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    sampler = config.build(samples_NW, np.ones((40, 1), np.float32), 0).sampler
    Generator(config, sampler, ("all",)).save(tmp_path)
    load_generator(tmp_path)
    flip(tmp_path / "generator.safetensors")
    with pytest.raises(InputError, match="damaged: its bytes have changed"):
        load_generator(tmp_path)


def test_damaged_paraphrases_and_points_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = RecordStore(tmp_path / "texts")
    store.write({"a": "soft red coat", "b": "blue shoe"})
    (path,) = (tmp_path / "texts").iterdir()
    flip(path, path.read_bytes().index(b"soft"))
    assert RecordStore(tmp_path / "texts").values() == {"b": "blue shoe"}
    points = PointStore(tmp_path)
    points.add("k", {"ndcg": 0.5})
    assert PointStore(tmp_path).get("k") == {"key": "k", "ndcg": 0.5}
    flip(tmp_path / "points.parquet", 8)
    assert PointStore(tmp_path).get("k") is None
    assert "points.parquet is damaged: its points are measured again" in caplog.text


def test_training_goes_on_from_the_last_whole_checkpoint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(torch.nn.Linear(2, 2))
    checkpoints = Checkpoints(accelerator, tmp_path)
    checkpoints.save(Progress(step=1))
    shutil.copytree(tmp_path / "step-0000001", tmp_path / "kept")
    kept = model.weight.detach().clone()
    with torch.no_grad():
        model.weight += 1
    checkpoints.save(Progress(step=2))
    (tmp_path / "kept").rename(tmp_path / "step-0000001")
    assert checkpoints.resume() == Progress(step=2)
    flip(tmp_path / "step-0000002" / "model.safetensors")
    assert checkpoints.resume() == Progress(step=1)
    assert torch.equal(model.weight, kept)
    assert "step-0000002/model.safetensors is damaged" in caplog.text
    (tmp_path / "step-0000001" / "random_states_0.pkl").write_bytes(b"")
    with pytest.raises(InputError, match="to train from the start"):
        checkpoints.resume()


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    save_state(model, tmp_path / "model.safetensors")
    write_checksums(tmp_path)
    load_trained_state(model, tmp_path / "model.safetensors")
    flip(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="is damaged"):
        load_trained_state(model, tmp_path / "model.safetensors")
