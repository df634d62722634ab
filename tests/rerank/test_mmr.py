"""MMR against its formula in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.item_table import ItemTable
from crossrec.rerank.base import Pool
from crossrec.rerank.mmr import MMR
from crossrec.types import Sequences


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 14),
    diversity=st.sampled_from([0.1, 0.3, 0.7, 1.0]),
    space=st.sampled_from(["category", "text"]),
    relevance=st.sampled_from(["minmax", "softmax", "rank"]),
)
def test_every_choice_maximises_the_formula(
    make_world: Callable[[int], Any],
    assert_greedy: Callable[..., None],
    seed: int,
    k: int,
    diversity: float,
    space: str,
    relevance: Any,
) -> None:
    config = MMR.Options(diversity=diversity, space=space, relevance=relevance)

    def gain(similarity_NN: np.ndarray, chosen: list[int], item: int) -> float:
        return -max([0.0, *(similarity_NN[item, j] for j in chosen)])

    assert_greedy(make_world(seed), config, k, gain)


def test_a_copy_of_the_first_item_falls_behind() -> None:
    """0.7 * 0.9 - 0.3 * 1 = 0.33 for the copy, 0.7 * 0.5 - 0 = 0.35 for the other: by hand."""
    vectors_ND = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    traits = ItemTable(np.ones(4), torch.zeros(4, 0), {"text": vectors_ND})
    pool = Pool(torch.arange(4)[None], torch.tensor([[1.0, 0.9, 0.5, 0.0]]), Sequences.from_lists([[]]))
    result = MMR.Options(diversity=0.3, space="text").build(traits).rerank(pool, 4)
    assert result.ids_BC.tolist() == [[0, 2, 1, 3]]
    assert result.scores_BC.tolist() == [[1.0, 0.5, np.float32(0.9), 0.0]]


def test_an_opposite_is_no_better_than_an_unrelated_item() -> None:
    vectors_ND = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    traits = ItemTable(np.ones(3), torch.zeros(3, 0), {"text": vectors_ND})
    pool = Pool(torch.arange(3)[None], torch.tensor([[2.0, 1.0, 1.0]]), Sequences.from_lists([[]]))
    result = MMR.Options(diversity=1.0, space="text").build(traits).rerank(pool, 3)
    assert result.ids_BC.tolist() == [[0, 1, 2]]
