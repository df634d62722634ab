"""Segments of users and groups of items: planted ones are found, and nothing but training is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossrec.config import validate
from crossrec.data.dataset import Dataset
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.data.segments import SegmentsConfig, cluster_items, cluster_users
from crossrec.types import ABSENT, InputError

WORDS = {"wool": "warm wool scarf winter", "sport": "light running shoe sport", "tea": "green tea leaf cup"}
PER_KIND = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items of three kinds, and users who click one kind each; one item and one user stand out."""
    root: Path = tmp_path_factory.mktemp("kinds")
    generator = np.random.default_rng(0)
    texts = [
        f"{text} {generator.choice(['a', 'b', 'c'])}" for text in WORDS.values() for _ in range(PER_KIND)
    ]
    texts += ["", "never clicked thing"]
    ids = [f"i{n}" for n in range(len(texts))]
    pl.DataFrame({"item_id": ids, "text": texts}).write_csv(root / "items.csv")
    lines = []
    for user in range(30):
        kind = user % 3
        for step, item in enumerate(generator.choice(PER_KIND, 6, replace=False)):
            lines.append((f"u{user}", f"i{kind * PER_KIND + item}", 100 * step + user))
    lines += [("single", "i0", 1), ("single", "i24", 2), ("single", "i1", 3)]
    pl.DataFrame(lines, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(
        root / "interactions.csv"
    )
    return root


def loaded(folder: Path) -> PreparedData:
    content = {"source": {"type": "table"}, "root": str(folder), "split": {"type": "leave_one_out"}}
    return Dataset.from_config(validate(DataConfig, content, "test")).split()


@pytest.fixture(scope="module")
def data(folder: Path) -> PreparedData:
    return loaded(folder)


def kinds_of(data: PreparedData) -> np.ndarray:
    return np.array([int(user[1:]) % 3 if user != "single" else 0 for user in data.clicks.user_ids])


def test_users_who_read_alike_are_together(data: PreparedData) -> None:
    groups = cluster_users(data, SegmentsConfig(users=3, user_views=("words",)), 0.2)
    together = {(int(k), int(s)) for k, s in zip(kinds_of(data), groups.labels, strict=True)}
    assert len(together) == 3
    assert len({segment for _, segment in together}) == 3
    assert list(groups.sizes) == sorted(groups.sizes, reverse=True)
    assert groups.notes[0].startswith("11 users")
    assert any("tea" in note for note in groups.notes)


def test_items_are_grouped_and_those_without_anything_are_not(data: PreparedData) -> None:
    groups = cluster_items(data, SegmentsConfig(items=3))
    labels = [set(groups.labels[k * PER_KIND : (k + 1) * PER_KIND]) for k in range(3)]
    assert [len(own) for own in labels] == [1, 1, 1]
    assert len(set.union(*labels)) == 3
    assert groups.labels[24] == ABSENT
    assert groups.sizes.sum() == (groups.labels != ABSENT).sum()


def test_vectors_group_items_without_words(data: PreparedData) -> None:
    vectors = np.zeros((26, 2))
    vectors[:13, 0] = 1
    vectors[13:25, 1] = 1
    groups = cluster_items(data, SegmentsConfig(items=2, item_views=("categories",)), vectors)
    assert len(set(groups.labels[:13])) == len(set(groups.labels[13:25])) == 1
    assert groups.labels[0] != groups.labels[13]
    assert groups.labels[25] == ABSENT


def test_nothing_after_the_cut_matters(folder: Path, data: PreparedData, tmp_path: Path) -> None:
    frame = pl.read_csv(folder / "interactions.csv")
    # All validation and test clicks become clicks on one item that nobody else wants.
    last_two = pl.col("timestamp").rank("ordinal", descending=True).over("user_id") <= 2
    moved = frame.with_columns(
        pl.when(last_two & (pl.col("user_id") != "single")).then(pl.lit("i25")).otherwise("item_id")
        .alias("item_id")
    )  # fmt: skip
    moved.write_csv(tmp_path / "interactions.csv")
    pl.read_csv(folder / "items.csv").write_csv(tmp_path / "items.csv")
    config = SegmentsConfig(users=4, items=5)
    other = loaded(tmp_path)
    assert not np.array_equal(other.clicks.sequences.items, data.clicks.sequences.items)
    assert np.array_equal(cluster_users(other, config, 0.2).labels, cluster_users(data, config, 0.2).labels)
    assert np.array_equal(cluster_items(other, config).labels, cluster_items(data, config).labels)


def test_words_that_are_not_there_are_named(folder: Path, tmp_path: Path) -> None:
    pl.read_csv(folder / "items.csv").with_columns(text=pl.lit("7")).write_csv(tmp_path / "items.csv")
    (tmp_path / "interactions.csv").write_bytes((folder / "interactions.csv").read_bytes())
    wordless = loaded(tmp_path)
    with pytest.raises(InputError, match=r"segments\.user_views: .* add behaviour"):
        cluster_users(wordless, SegmentsConfig(user_views=("words",)), 0.2)
    assert cluster_users(wordless, SegmentsConfig(), 0.2).sizes.sum() == 31
    assert (cluster_items(wordless, SegmentsConfig(item_views=("words",))).labels == ABSENT).all()


def test_more_segments_than_different_users(data: PreparedData) -> None:
    groups = cluster_users(data, SegmentsConfig(users=500, user_views=("behaviour",)), 0.2)
    assert groups.sizes.min() > 0
    assert groups.sizes.sum() == 31
