"""Filters and quotas against a plain loop over candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from crossrec.config import validate
from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.context import Constraints
from crossrec.types import ABSENT, ConfigError, InputError, Sequences

VALUES = ["a", "b", "c", "d", None]


def traits_of(values: list[Any]) -> ItemTable:
    column = np.array(values, dtype=object)
    return ItemTable(np.ones(len(values)), torch.zeros(len(values), 0), columns={"brand": column})


def pool_of(rows: list[list[int]]) -> Pool:
    ids_BC = torch.tensor(rows)
    scores_BC = torch.arange(float(ids_BC.shape[1])).flip(0).expand(ids_BC.shape)
    scores_BC = scores_BC.masked_fill(ids_BC == ABSENT, -torch.inf)
    return Pool(ids_BC, scores_BC, Sequences.from_lists([[]] * len(rows)))


def plain(config: Constraints.Options, values: list[Any], row: list[int], k: int) -> list[int]:
    """The rules, one candidate after the other."""
    fits, used = [], dict.fromkeys(VALUES, 0)
    for item in row:
        value = values[item] if item != ABSENT else None
        if item == ABSENT or value in config.deny or (config.allow and value not in config.allow):
            continue
        if value is not None:
            room = config.max_count.get(value, config.max_per_value)
            if room is not None and used[value] >= room:
                continue
            used[value] += 1
        fits.append(item)
    held = set()
    for value, least in config.min_count.items():
        held |= set([item for item in fits if values[item] == value][:least])
    free = [item for item in fits if item not in held]
    taken = held | set(free[: min(k, len(row)) - len(held)])
    return [item for item in fits if item in taken]


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    names = st.sampled_from(["a", "b", "c", "d"])
    return {
        "column": "brand",
        "allow": draw(st.sampled_from([(), ("a", "b", "c"), ("a", "d")])),
        "deny": draw(st.sampled_from([(), ("b",)])),
        "max_per_value": draw(st.sampled_from([None, 1, 2])),
        "max_count": draw(st.dictionaries(names, st.integers(0, 3), max_size=2)),
        "min_count": draw(st.dictionaries(names, st.integers(1, 2), max_size=2)),
    }


@settings(max_examples=60, deadline=None)
@given(rules=rules(), seed=st.integers(0, 10_000), k=st.sampled_from([4, 7, 10]))
def test_equals_a_plain_loop(rules: dict[str, Any], seed: int, k: int) -> None:
    try:
        config = Constraints.Options.model_validate(rules)
    except ValueError:
        reject()  # Rules that contradict each other have their own test.
    rng = np.random.default_rng(seed)
    values = ["a", "b", "c", "d", *rng.choice(np.array(VALUES, dtype=object), 12)]
    rows = [[*rng.permutation(16)[:length].tolist(), *[ABSENT] * (10 - length)] for length in (10, 6, 0, 1)]
    together = config.build(traits_of(values)).rerank(pool_of(rows), k)
    for row, ids in zip(rows, together.ids_BC.tolist(), strict=True):
        expected = plain(config, values, row, k)
        assert ids == [*expected, *[ABSENT] * (min(k, 10) - len(expected))]
        alone = config.build(traits_of(values)).rerank(pool_of([row]), k)
        assert alone.ids_BC.tolist() == [ids]


def test_at_most_two_of_a_brand_and_one_of_another_at_least() -> None:
    values = ["x", "x", "x", "x", None, None, "y"]
    config = Constraints.Options(column="brand", max_per_value=2, min_count={"y": 1})
    reranked = config.build(traits_of(values)).rerank(pool_of([[0, 1, 2, 3, 4, 5, 6]]), 4)
    # Unknown brands fill the places that no quota takes; the promoted item keeps its rank behind them.
    assert reranked.ids_BC.tolist() == [[0, 1, 4, 6]]
    assert reranked.scores_BC.tolist() == [[6.0, 5.0, 2.0, 0.0]]


def test_what_is_filtered_out_takes_no_room_and_unknown_is_not_allowed() -> None:
    values = ["x", "y", None, "x"]
    allowed = Constraints.Options(column="brand", allow=("x",))
    assert allowed.build(traits_of(values)).rerank(pool_of([[2, 1, 3, 0]]), 4).ids_BC.tolist() == [
        [3, 0, ABSENT, ABSENT]
    ]
    denied = Constraints.Options(column="brand", deny=("x",))
    assert denied.build(traits_of(values)).rerank(pool_of([[2, 1, 3, 0]]), 2).ids_BC.tolist() == [[2, 1]]


def test_numbers_and_truth_are_compared_as_text_and_nan_is_unknown() -> None:
    values = [1, True, float("nan"), np.int64(1)]
    config = validate(Constraints.Options, {"column": "brand", "deny": [1], "max_count": {True: 1}}, "f")
    assert config.build(traits_of(values)).rerank(pool_of([[0, 1, 2, 3]]), 3).ids_BC.tolist() == [[1, 2, -1]]
    assert validate(Constraints.Options, config.model_dump(mode="json"), "f") == config


def test_what_does_not_exist_is_named_with_what_does() -> None:
    traits = traits_of(["nike", "puma", None])
    with pytest.raises(InputError, match=r"'colour' is not in the catalogue; there are \['brand'\]"):
        Constraints.Options(column="colour", deny=("red",)).build(traits)
    with pytest.raises(InputError, match=r"no item has 'nkie' in column 'brand'; did you mean 'nike'\?"):
        Constraints.Options(column="brand", max_count={"nkie": 1}).build(traits)
    with pytest.raises(InputError, match="asks for 3 items in lists of 2"):
        Constraints.Options(column="brand", min_count={"nike": 3}).build(traits).rerank(pool_of([[0, 1]]), 2)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "no rule"),
        ({"allow": ["a"], "deny": ["a"]}, "both allowed and denied"),
        ({"allow": ["a"], "min_count": {"b": 1}}, "min_count asks for 'b', which is filtered out"),
        ({"max_per_value": 1, "min_count": {"b": 2}}, "'b': at least 2, but at most 1"),
    ],
)
def test_rules_that_contradict_each_other(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(Constraints.Options, {"column": "brand", **rules}, "some.yaml")
