"""Sequence augmenters: what each may change, never an unseen item, and draws that belong to rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from crossrec.augment.base import Augmented, SampleRng
from crossrec.augment.sequences import SequenceAugmenterOptions
from crossrec.augment.sequences.base import SequenceContext
from crossrec.augment.sequences.compose import SequenceAugmentConfig
from crossrec.config import Config
from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.types import Sequences

N_ITEMS = 40
TYPES = ("crop", "mask", "reorder", "substitute", "insert")
CONFIGS: list[dict[str, Any]] = [
    *({"type": name} for name in TYPES),
    {"type": "insert", "similarity": "content", "probability": 0.5},
    {"type": "substitute", "similarity": "both", "share": 1.0, "neighbours": 2},
]
WHOLE = [{"augmenters": CONFIGS, "mode": mode} for mode in ("one", "chain")]


def parsed(config: dict[str, Any]) -> Config:
    if "augmenters" in config:
        return SequenceAugmentConfig.model_validate(config)
    return TypeAdapter(SequenceAugmenterOptions).validate_python(config)


def with_times(rows: list[list[int]]) -> Sequences:
    """Times rise within a row, and two clicks may share one."""
    plain = Sequences.from_lists(rows)
    empty = [np.zeros(0, int)]
    times = np.concatenate([np.arange(len(row)) // 2 * 10 + 1000 * b for b, row in enumerate(rows)] or empty)
    return Sequences(plain.offsets, plain.items, times.astype(np.int64))


@pytest.mark.parametrize("name", TYPES)
def test_a_weight_goes_with_its_click(name: str) -> None:
    rows = [list(range(b, b + 12)) for b in range(0, 18, 3)]
    train = with_times(rows)
    train = replace(train, weights=(train.items + 1).astype(np.float32))
    made = augment({"type": name, "probability": 1.0}, train).samples
    assert made.weights is not None
    assert len(made.weights) == len(made.items)
    if name not in ("insert", "substitute"):
        assert made.weights.tolist() == (made.items + 1).tolist()


def context(train: Sequences) -> SequenceContext:
    content = np.random.default_rng(0).normal(size=(N_ITEMS, 5))
    content[::7] = 0
    return SequenceContext(train, ItemTable.of_size(N_ITEMS, spaces={CONTENT: content}))


def augment(config: dict[str, Any], train: Sequences, seed: int = 0) -> Augmented[Sequences]:
    augmenter = parsed(config).build(context(train))  # type: ignore[attr-defined]
    return augmenter.augment(train, SampleRng(seed, ("epoch", 0), range(len(train))))


def rows_of(sequences: Sequences) -> list[list[int]]:
    return [sequences.row(b).tolist() for b in range(len(sequences))]


logs = st.lists(st.lists(st.integers(0, 29), max_size=25), min_size=1, max_size=12).filter(
    lambda rows: any(rows)
)


@pytest.mark.parametrize("config", [*CONFIGS, *WHOLE], ids=lambda c: "_".join(map(str, c.values()))[:40])
@settings(max_examples=25, deadline=None)
@given(rows=logs, seed=st.integers(0, 5))
def test_rows_items_and_times_stay_in_order(config: dict[str, Any], rows: list[list[int]], seed: int) -> None:
    train = with_times(rows)
    found = augment(config, train, seed)
    made = found.samples
    assert len(made) == len(train)
    assert made.offsets[0] == 0
    assert made.offsets[-1] == len(made.items)
    assert made.times is not None
    assert len(made.times) == len(made.items)
    # Only items with training clicks.
    assert set(made.items.tolist()) <= set(train.items.tolist())
    for before, after, changed in zip(rows, rows_of(made), found.changed, strict=True):
        assert bool(changed) == (before != after) or config.get("mode") == "chain"
        assert bool(before) == bool(after)
    for b in range(len(made)):
        times = made.times[made.offsets[b] : made.offsets[b + 1]]
        assert (np.diff(times) >= 0).all()
        # No row has got another row's time.
        assert (times // 1000 == b).all()
    if "augmenters" not in config:
        assert sum(found.counts.values()) == len(rows)
        assert found.counts["kept"] == found.changed.sum()


def part(before: list[int], after: list[int]) -> bool:
    return any(before[i : i + len(after)] == after for i in range(len(before) - len(after) + 1))


def subsequence(before: list[int], after: list[int]) -> bool:
    rest = iter(before)
    return all(item in rest for item in after)


@settings(max_examples=60, deadline=None)
@given(rows=logs, seed=st.integers(0, 5), share=st.sampled_from([0.2, 0.6, 0.9]))
def test_each_does_what_its_name_says(rows: list[list[int]], seed: int, share: float) -> None:
    train = Sequences.from_lists(rows)
    made = {name: rows_of(augment({"type": name, "share": share}, train, seed).samples) for name in TYPES}
    for b, before in enumerate(rows):
        n, size = len(before), int(len(before) * share)
        crop, mask, reorder, substitute, insert = (made[name][b] for name in TYPES)
        assert part(before, crop)
        assert len(crop) == (n if n < 2 else max(size, 1))
        assert subsequence(before, mask)
        assert len(mask) == n - size
        assert Counter(reorder) == Counter(before)
        moved = [place for place in range(n) if before[place] != reorder[place]]
        assert not moved or moved[-1] - moved[0] < size
        assert len(substitute) == n
        new = [item for old, item in zip(before, substitute, strict=True) if old != item]
        assert len(new) <= max(size, 1)
        assert not set(new) & set(before)
        assert len(set(new)) == len(new)
        assert subsequence(insert, before)
        assert len(insert) - n <= max(size, 1)
        added = Counter(insert) - Counter(before)
        assert not set(added) & set(before)
        assert all(count == 1 for count in added.values())


@pytest.mark.parametrize("config", [*CONFIGS, *WHOLE], ids=lambda c: "_".join(map(str, c.values()))[:40])
def test_a_row_gets_the_same_in_any_company(config: dict[str, Any]) -> None:
    generator = np.random.default_rng(1)
    train = with_times([generator.integers(0, 30, n).tolist() for n in generator.integers(0, 15, 40)])
    augmenter = parsed(config).build(context(train))  # type: ignore[attr-defined]
    whole = augmenter.augment(train, SampleRng(3, ("a",), range(40))).samples
    order = generator.permutation(40)[:25]
    some = augmenter.augment(train.take(order), SampleRng(3, ("a",), order.tolist())).samples
    assert rows_of(some) == rows_of(whole.take(order))
    other = augmenter.augment(train, SampleRng(3, ("b",), range(40))).samples
    assert rows_of(other) != rows_of(whole)


@pytest.mark.parametrize("name", TYPES)
def test_probability_is_the_share_of_rows(name: str) -> None:
    generator = np.random.default_rng(1)
    train = Sequences.from_lists([generator.permutation(30)[:10] for _ in range(2000)])
    found = augment({"type": name, "probability": 0.3}, train)
    # Three standard errors are .03; shuffling six clicks seldom leaves them as they were.
    assert abs(found.counts["not_drawn"] / 2000 - 0.7) < 0.031
    assert found.changed.sum() > 0.95 * (2000 - found.counts["not_drawn"])


def test_parts_and_places_are_drawn_evenly() -> None:
    train = Sequences.from_lists([list(range(10))] * 3000)
    begins = [row[0] for row in rows_of(augment({"type": "crop", "share": 0.6}, train).samples)]
    assert np.abs(np.bincount(begins, minlength=5) / 3000 - 0.2).max() < 0.03
    kept = np.bincount(augment({"type": "mask", "share": 0.3}, train).samples.items, minlength=10)
    assert np.abs(kept / 3000 - 0.7).max() < 0.035
    shuffled = augment({"type": "reorder", "share": 1.0}, train).samples.items.reshape(3000, 10)
    places = np.stack([np.bincount(column, minlength=10) for column in shuffled.T])
    assert np.abs(places / 3000 - 0.1).max() < 0.025


@pytest.mark.parametrize("name", TYPES)
def test_a_row_of_nothing_and_of_one_click(name: str) -> None:
    train = Sequences.from_lists([[], [3], [4, 5, 6, 7, 8], [], [3, 4]])
    found = augment({"type": name}, train)
    assert found.samples.lengths[[0, 3]].tolist() == [0, 0]
    if name in ("crop", "mask", "reorder"):
        assert found.samples.row(1).tolist() == [3]
        assert found.counts["too_short"] >= 3
    else:
        assert found.counts["too_short"] == 2


def test_an_empty_log_comes_back_empty() -> None:
    train = Sequences.from_lists([])
    for config in [*CONFIGS, *WHOLE]:
        assert len(augment(config, train).samples) == 0


def test_the_paper_s_example_of_a_crop() -> None:
    # Seven clicks, a share of .6: four are kept (CL4SRec, figure 2).
    found = augment({"type": "crop"}, Sequences.from_lists([[1, 2, 3, 4, 5, 6, 7]]))
    assert found.samples.lengths.tolist() == [4]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"augmenters": [{"type": "crop", "share": 1.0}]}, "less than 1"),
        ({"augmenters": [{"type": "cut"}]}, "crop"),
        ({"augmenters": []}, "at least 1"),
        ({"copies": 0, "max_clicks": 5}, "copies"),
        ({"copies": -1}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SequenceAugmentConfig.model_validate(wrong)


def test_the_configuration_comes_back_from_its_own_dump() -> None:
    config = SequenceAugmentConfig.model_validate({**WHOLE[1], "copies": 0.5, "max_clicks": 20})
    assert SequenceAugmentConfig.model_validate(config.model_dump(mode="json")) == config
