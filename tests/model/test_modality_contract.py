"""Modalities of content: mask, gradient, saving, new items, and a signal that only one of them carries."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

import crossrec as cr
from crossrec.model.modalities import MODALITIES
from crossrec.model.modalities.item_group import ItemGroup
from crossrec.model.modalities.item_id import ItemId
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.types import InputError

N, N_CLUSTERS = 48, 4
CLUSTER = np.arange(N) % N_CLUSTERS
COLD = np.arange(N) // N_CLUSTERS % 4 == 3
"""Items that nobody clicked: ids can't know their cluster, content does."""
MISSING = 1
"""An item without the modality; it has training clicks."""
COLOURS = ("red", "green", "blue", "white")
WORDS = ("a dog and puppy", "tax law", "red shirt of linen", "blue shoe for winter")
ENCODER = {"model": "test_resnet", "weights": "random", "image_size": 32, "precision": "fp32"}


def png(colour: str, row: int) -> bytes:
    picture = Image.new("RGB", (32, 32), colour)
    picture.putpixel((row % 32, row // 32), (9, 9, 9))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def sounds() -> np.ndarray:
    rng = np.random.default_rng(1)
    return (np.eye(N_CLUSTERS)[CLUSTER] + 0.1 * rng.normal(size=(N, N_CLUSTERS))).astype(np.float32)


def without_missing(values: list[Any]) -> list[Any]:
    return [None if row == MISSING else value for row, value in enumerate(values)]


@dataclass(frozen=True)
class Case:
    """A modality, the columns or files that carry its data, and the keys by which a new item brings it."""

    options: Callable[[Path, Path], dict[str, Any]]
    columns: Callable[[], dict[str, list[Any]]]
    keys: tuple[str, ...]


def pictures() -> list[bytes]:
    return [png(COLOURS[cluster], row) for row, cluster in enumerate(CLUSTER)]


def galleries() -> list[list[bytes]]:
    return [[png(COLOURS[c], row + n) for n in range(row % 3 + 1)] for row, c in enumerate(CLUSTER)]


def sound_file(folder: Path, suffix: str) -> dict[str, Any]:
    """Rows of the file are in another order than the items, and some are of no item."""
    order = np.random.default_rng(2).permutation(N)
    order = order[order != MISSING]
    ids = [f"i{row}" for row in order] + ["unknown"]
    rows = np.concatenate([sounds()[order], np.ones((1, N_CLUSTERS), np.float32)])
    path = folder / f"sounds{suffix}"
    if suffix == ".parquet":
        pl.DataFrame({"item_id": ids, "sound": rows.tolist()}).write_parquet(path)
        return {"file": str(path)}
    if suffix == ".npy":
        np.save(path, rows)
    else:
        save_file({"a": rows, "b": rows[:1]}, path)
    (folder / "ids.txt").write_text("\n".join(ids) + "\n")
    return {"file": str(path), "ids": str(folder / "ids.txt")} | ({} if suffix == ".npy" else {"tensor": "a"})


CASES: dict[str, Case] = {
    "text": Case(
        lambda folder, bert: {
            "type": "text",
            "column": "blurb",
            "weights": str(bert),
            "max_tokens": 8,
            "precision": "fp32",
        },
        lambda: {"blurb": without_missing([WORDS[cluster] for cluster in CLUSTER])},
        ("blurb",),
    ),
    "image": Case(
        lambda folder, bert: {"type": "image", "column": "back", **ENCODER},
        lambda: {"back": without_missing(pictures())},
        ("back",),
    ),
    "adapted-text": Case(
        lambda folder, bert: {
            **CASES["text"].options(folder, bert),
            "training": "lora",
            "adapt": {"epochs": 3, "lr": 0.003, "batch_size": 8, "negatives": 16},
        },
        lambda: CASES["text"].columns(),
        ("blurb",),
    ),
    "adapted-image": Case(
        lambda folder, bert: {
            **CASES["image"].options(folder, bert),
            "training": "finetune",
            "adapt": {"epochs": 1, "batch_size": 16},
        },
        lambda: CASES["image"].columns(),
        ("back",),
    ),
    "frames": Case(
        lambda folder, bert: {"type": "frames", "column": "gallery", "max_frames": 2, **ENCODER},
        lambda: {"gallery": without_missing(galleries())},
        ("gallery",),
    ),
    "attended-frames": Case(
        lambda folder, bert: {"type": "frames", "column": "gallery", "pooling": "attention", **ENCODER},
        lambda: {"gallery": without_missing(galleries())},
        ("gallery",),
    ),
    "vectors": Case(
        lambda folder, bert: {"type": "vectors", "column": "sound"},
        lambda: {"sound": without_missing(sounds().tolist())},
        ("sound",),
    ),
    **{
        f"vectors{suffix}": Case(
            lambda folder, bert, suffix=suffix: {"type": "vectors", **sound_file(folder, suffix)},  # type: ignore[misc]
            dict,
            ("known",),
        )
        for suffix in (".npy", ".safetensors", ".parquet")
    },
    "columns": Case(
        lambda folder, bert: {"type": "columns", "numbers": ["size"], "categories": ["brand", "tags"]},
        lambda: {
            "size": without_missing([float(row) for row in range(N)]),
            "brand": without_missing([f"brand {cluster}" for cluster in CLUSTER]),
            "tags": without_missing([["all", f"tag {cluster // 2}"] for cluster in CLUSTER]),
        },
        ("size", "brand", "tags"),
    ),
}


def dataset(columns: dict[str, list[Any]], cache: Path, order: np.ndarray | None = None) -> Any:
    """Shoppers who stay within one cluster of the items that are not cold."""
    rng = np.random.default_rng(0)
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(N)], **columns})
    rows = []
    for user in range(80):
        known = np.flatnonzero((user % N_CLUSTERS == CLUSTER) & ~COLD)
        rows += [
            (f"u{user}", f"i{item}", 1_700_000_000 + 60 * n) for n, item in enumerate(rng.permutation(known))
        ]
    clicks = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    items = items if order is None else items[order.tolist()]
    return cr.Dataset(items, clicks, cache_dir=cache).split("leave_one_out")


def unfitted(modalities: dict[str, Any]) -> cr.SequentialRecommender:
    return cr.SequentialRecommender(
        modalities=modalities,
        sequence=cr.SASRec(layers=1, max_length=8, dropout=0.0),
        fusion={"type": "weighted"},
        width=16,
        whiten=4,
        item_dropout=0.0,
    )


@dataclass(frozen=True)
class Fitted:
    case: Case
    model: cr.SequentialRecommender
    columns: dict[str, list[Any]]

    @property
    def modality(self) -> Any:
        return self.model.recommender.network.items.modalities["known"]

    def row(self, item_id: str, of: int) -> dict[str, Any]:
        """A new item with the data of an existing one."""
        values = self.columns or {"known": sounds().tolist()}
        return {"item_id": item_id, **{key: values[key][of] for key in self.case.keys}}

    def place(self, row: int) -> int:
        return self.model.loaded.index(f"i{row}")


@pytest.fixture(scope="module", params=CASES)
def fitted(request: Any, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    case, folder = CASES[request.param], tmp_path_factory.mktemp("modality")
    columns = case.columns()
    model = unfitted({"known": case.options(folder, tiny_bert), "id": {"type": "id"}})
    return Fitted(case, model.fit(dataset(columns, folder), epochs=12, lr=0.02, batch_size=16), columns)


def test_the_cases_are_all_modalities_of_content() -> None:
    named = {name.partition(".")[0].rpartition("-")[2] for name in CASES}
    assert named == {name for name in MODALITIES if not issubclass(MODALITIES[name], ItemId | ItemGroup)}


def test_only_it_tells_the_cluster_of_items_without_clicks(fitted: Fitted) -> None:
    loaded = fitted.model.loaded
    right, wrong = [], []
    for cluster in range(N_CLUSTERS):
        history = [f"i{row}" for row in np.flatnonzero((cluster == CLUSTER) & ~COLD)[:5]]
        ranks = {
            item: rank
            for rank, item in enumerate(loaded.recommend(history, k=N, exclude_seen=False).item_ids)
        }
        cold = np.flatnonzero(COLD)
        right += [ranks[f"i{row}"] for row in cold if CLUSTER[row] == cluster]
        wrong += [ranks[f"i{row}"] for row in cold if CLUSTER[row] != cluster]
    assert np.less.outer(right, wrong).mean() > 0.9


def test_items_without_it_are_masked(fitted: Fitted) -> None:
    expected = np.ones(N, dtype=bool)
    expected[fitted.place(MISSING)] = False
    np.testing.assert_array_equal(fitted.modality.present.numpy(), expected)
    network = fitted.model.recommender.network.eval()
    row = torch.tensor([fitted.place(MISSING)])
    assert torch.isfinite(fitted.modality(row)).all()
    assert torch.equal(network.item_vectors(row), network.item_vectors(row, ["id"]))
    other = torch.tensor([fitted.place(2)])
    assert not torch.allclose(network.item_vectors(other), network.item_vectors(other, ["id"]))


def test_what_is_learned_has_a_gradient_and_the_rest_stays(fitted: Fitted) -> None:
    network, frozen = fitted.model.recommender.network, fitted.modality
    network.zero_grad()
    before = {name: value.clone() for name, value in frozen.named_buffers()}
    network.train().item_vectors(torch.arange(N))[:, 0].sum().backward()
    network.eval()
    trained = {name: value for name, value in frozen.named_parameters() if value.requires_grad}
    for name, value in trained.items():
        assert value.grad is not None, name
        assert value.grad.abs().sum() > 0, name
    assert isinstance(frozen, FrozenFeatures) == (not trained)
    projection = network.items.project["known"].get_parameter("0.weight")
    assert projection.grad is not None
    assert projection.grad.abs().sum() > 0
    for name, value in frozen.named_buffers():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)
    network.zero_grad()


def test_a_saved_model_gives_the_same_scores_and_takes_new_items(fitted: Fitted, tmp_path: Path) -> None:
    loaded = fitted.model.loaded
    fitted.model.save(tmp_path / "saved", pictures="none")
    saved = cr.load(tmp_path / "saved")
    history = ["i2", "i6", "i10"]
    ours, theirs = (found.recommend(history, k=10) for found in (loaded, saved))
    assert ours.item_ids == theirs.item_ids
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)
    saved.add_items([fitted.row("copy", 3), fitted.row("half", 5)])
    network = saved.recommender.network
    rows = torch.tensor([saved.index("i3"), saved.index("copy")])
    seen, copied = network.item_vectors(rows, ["known"])
    torch.testing.assert_close(copied, seen, atol=1e-5, rtol=1e-4)
    assert network.items.modalities["id"].get_buffer("present")[rows].tolist() == [not COLD[3], False]
    saved.save_pretrained(tmp_path / "again", pictures="none")
    again = cr.load(tmp_path / "again")
    assert again.recommend(history, k=20).item_ids == saved.recommend(history, k=20).item_ids
    np.testing.assert_allclose(
        again.recommend(history, k=20).scores, saved.recommend(history, k=20).scores, atol=1e-6
    )


def test_a_new_item_of_which_nothing_is_read_is_refused(fitted: Fitted) -> None:
    before = fitted.model.loaded.n_items
    with pytest.raises(InputError, match="item 'bare' has"):
        fitted.model.loaded.add_items([{"item_id": "bare", "text": "never read"}])
    with pytest.raises(InputError, match="item 'bare' has neither"):
        fitted.model.loaded.add_items([{"item_id": "bare", "title": "a name"}])
    assert fitted.model.loaded.n_items == before
