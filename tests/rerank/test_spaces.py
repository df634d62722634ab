"""Spaces: similarities of a pool against pairs in plain Python, and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crossrec.data.item_table import ItemTable
from crossrec.rerank import spaces
from crossrec.rerank.spaces import CosineSpace, JaccardSpace, space_named
from crossrec.types import ABSENT, InputError


@pytest.mark.parametrize("name", ["category", "text"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("small_pool", [0, 32], ids=["columns", "all pairs"])
def test_columns_are_the_similarities_of_pairs(
    make_world: Callable[[int], Any],
    name: str,
    seed: int,
    small_pool: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spaces, "SMALL_POOL", small_pool)
    monkeypatch.setattr(spaces, "CACHE_BYTES", 1000)
    world = make_world(seed)
    ids_BC = world.pool.ids_BC
    known_N = (world.traits.categories_NG if name == "category" else world.traits.unit(name)).any(1)
    expected_NN = world.similarities(name)
    columns_B = torch.arange(len(ids_BC)) % 3
    found_BC = space_named(name, world.traits).of(ids_BC).to(columns_B)
    for row, column in enumerate(columns_B.tolist()):
        for other in range(ids_BC.shape[1]):
            i, j = int(ids_BC[row, column]), int(ids_BC[row, other])
            known = ABSENT not in (i, j) and known_N[i] and known_N[j]
            expected = expected_NN[i, j] if known else 0.0
            assert float(found_BC[row, other]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["category", "text"])
def test_similarities_are_positive_semidefinite(make_world: Callable[[int], Any], name: str) -> None:
    for seed in range(20):
        assert np.linalg.eigvalsh(make_world(seed).similarities(name)).min() > -1e-6


def test_spaces_are_found_by_name() -> None:
    traits = ItemTable(np.ones(2), torch.ones(2, 3), {"text": torch.eye(2)})
    assert isinstance(space_named("category", traits), JaccardSpace)
    assert isinstance(space_named("text", traits), CosineSpace)
    with pytest.raises(InputError, match="space 'image'; there are category, text"):
        space_named("image", traits)


def test_no_categories_is_an_error_of_the_user() -> None:
    with pytest.raises(InputError, match="no item of the catalogue has one"):
        space_named("category", ItemTable(np.ones(2), torch.ones(2, 0)))
