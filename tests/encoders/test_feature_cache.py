from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossrec.encoders.cache import FeatureCache, Features, content_key, fetch_each

WIDTH = 6
WORDS = [f"item number {i}" for i in range(50)]

# Runs in processes of their own: kill -9 and gloo need them. Arguments: folder, batch to die in, rank, world.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from crossrec.encoders.cache import FeatureCache, content_key

folder, die_at, rank, world = Path(sys.argv[1]), *map(int, sys.argv[2:])
if world > 1:
    import torch.distributed as dist
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
calls = []

def encode(raws):
    if len(calls) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(raws)
    seeds = [int(raw.split()[-1]) for raw in raws]
    return np.stack([np.random.default_rng(s).normal(size=6) for s in seeds]).astype(np.float32)

words = [f"item number {i}" for i in range(50)]
cache = FeatureCache(folder / "cache", "test", 6, block_size=8)
keys = [content_key(word) for word in words]
features = cache.encode_catalog(keys, lambda rows: [words[r] for r in rows], encode)
np.save(folder / f"vectors{rank}.npy", features.vectors_ND)
(folder / f"calls{rank}.json").write_text(json.dumps(calls))
if world > 1:
    dist.destroy_process_group()
"""


def start(folder: Path, die_at: int = -1, rank: int = 0, world: int = 1) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PROGRAM, str(folder), str(die_at), str(rank), str(world)]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def calls(folder: Path, rank: int = 0) -> list[list[str]]:
    return json.loads((folder / f"calls{rank}.json").read_text())


class Counting:
    """An encoder whose vectors depend on the text alone, and that counts what it encodes."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def __call__(self, raws: list[str]) -> np.ndarray:
        self.encoded += raws
        return np.asarray([[len(raw), *map(ord, raw[-5:])] for raw in raws], np.float32)


def run(folder: Path, texts: list[str | None], encode: Callable[[list[str]], np.ndarray]) -> Features:
    cache: FeatureCache[str] = FeatureCache(folder, "letters", WIDTH, block_size=8)
    return cache.encode_catalog(
        [content_key(t) for t in texts], lambda rows: [texts[r] for r in rows], encode
    )


def test_vectors_stand_in_catalogue_order_memory_mapped(tmp_path: Path) -> None:
    texts: list[str | None] = [*WORDS, None]
    encode = Counting()
    features = run(tmp_path, texts, encode)
    assert isinstance(features.vectors_ND, np.memmap)
    assert features.vectors_ND.dtype == np.float16
    assert features.present_N.tolist() == [True] * 50 + [False]
    assert features.unreadable == []
    np.testing.assert_array_equal(features.vectors_ND[:50], Counting()(WORDS))
    assert not features.vectors_ND[50].any()
    assert encode.encoded == WORDS


def test_a_second_run_encodes_nothing_and_a_changed_item_only_itself(tmp_path: Path) -> None:
    run(tmp_path, list(WORDS), Counting())
    again = Counting()
    run(tmp_path, list(WORDS), again)
    assert again.encoded == []
    changed: list[str | None] = ["a new one first", *WORDS[:20], "changed words", *WORDS[21:]]
    partial = Counting()
    features = run(tmp_path, changed, partial)
    assert sorted(partial.encoded) == ["a new one first", "changed words"]
    np.testing.assert_array_equal(features.vectors_ND, Counting()([c for c in changed if c]))


def test_equal_inputs_are_encoded_once(tmp_path: Path) -> None:
    encode = Counting()
    features = run(tmp_path, ["same text", "other text", "same text"], encode)
    assert encode.encoded == ["same text", "other text"]
    np.testing.assert_array_equal(features.vectors_ND[0], features.vectors_ND[2])


def test_another_identity_shares_nothing(tmp_path: Path) -> None:
    for identity in ("first", "second"):
        encode = Counting()
        cache: FeatureCache[str] = FeatureCache(tmp_path, identity, WIDTH)
        cache.encode_catalog([content_key(w) for w in WORDS], lambda rows: [WORDS[r] for r in rows], encode)
        assert len(encode.encoded) == 50


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_nothing_to_encode(tmp_path: Path, texts: list[str | None]) -> None:
    features = run(tmp_path, texts, Counting())
    assert features.vectors_ND.shape == (len(texts), WIDTH)
    assert not features.present_N.any()


def test_killed_run_goes_on_and_equals_an_unbroken_one(tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    first, reference = start(broken, die_at=3), start(whole)
    assert first.wait() == -signal.SIGKILL
    assert reference.wait() == 0
    assert start(broken).wait() == 0
    assert calls(broken) == calls(whole)[3:]
    np.testing.assert_array_equal(np.load(broken / "vectors0.npy"), np.load(whole / "vectors0.npy"))


def test_two_processes_write_each_block_once_and_equal_one(tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    processes = [start(alone), *(start(together, rank=rank, world=2) for rank in range(2))]
    assert [process.wait() for process in processes] == [0, 0, 0]
    shares = [calls(together, rank) for rank in range(2)]
    assert shares[0] + shares[1] == calls(alone)[::2] + calls(alone)[1::2]
    for rank in range(2):
        np.testing.assert_array_equal(
            np.load(together / f"vectors{rank}.npy"), np.load(alone / "vectors0.npy")
        )
    names = [sorted(p.name for p in folder.glob("cache/*/blocks/*")) for folder in (together, alone)]
    assert names[0] == names[1]


def test_broken_pictures_are_masked_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    paths: list[Path | None] = []
    for i in range(6):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:300])
    (tmp_path / "3.png").write_bytes(b"no picture")
    (tmp_path / "4.png").unlink()
    paths[5] = None

    def read(row: int) -> Image.Image | None:
        path = paths[row]
        return None if path is None else Image.open(io.BytesIO(path.read_bytes())).convert("RGB")

    def encode(pictures: list[Image.Image]) -> np.ndarray:
        return np.asarray([np.asarray(p).mean((0, 1)) for p in pictures])

    cache: FeatureCache[Image.Image] = FeatureCache(tmp_path / "cache", "mean colour", 3)
    with caplog.at_level(logging.WARNING):
        features = cache.encode_catalog([content_key(p) for p in paths], fetch_each(read), encode)
    assert features.present_N.tolist() == [True, False, True, False, False, False]
    assert features.unreadable == [1, 3, 4]
    assert "3 of 5 items can't be read" in caplog.text
    assert not features.vectors_ND[[1, 3, 4, 5]].any()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "4.png")
    repaired = cache.encode_catalog([content_key(p) for p in paths], fetch_each(read), encode)
    assert repaired.unreadable == [1, 3]
    assert repaired.vectors_ND[4].tolist() == [255, 0, 0]


def test_a_damaged_block_is_computed_again(tmp_path: Path) -> None:
    before = run(tmp_path, list(WORDS), Counting())
    block = sorted(tmp_path.glob("*/blocks/*.npz"))[2]
    block.write_bytes(block.read_bytes()[:100])
    encode = Counting()
    after = run(tmp_path, list(WORDS), encode)
    assert 0 < len(encode.encoded) <= 8
    np.testing.assert_array_equal(before.vectors_ND, after.vectors_ND)


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_vectors_that_do_not_fit_are_an_error(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not finite as float16"):
        run(tmp_path, list(WORDS), lambda raws: np.full((len(raws), WIDTH), value, np.float32))
    with pytest.raises(ValueError, match="expected"):
        run(tmp_path, list(WORDS), lambda raws: np.zeros((len(raws), WIDTH + 1), np.float32))
