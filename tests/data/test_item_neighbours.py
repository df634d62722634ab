"""Similar items: the oracle's lists, from training clicks alone."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

from crossrec.augment.sequences.base import SequenceContext
from crossrec.data import neighbours
from crossrec.data.item_table import CONTENT, ItemTable
from crossrec.data.neighbours import find_neighbours
from crossrec.types import ABSENT, InputError, Sequences

N_ITEMS = 25


@pytest.fixture
def context() -> SequenceContext:
    generator = np.random.default_rng(0)
    rows = [generator.choice(20, n, replace=False) for n in generator.integers(0, 9, 30)]
    rows[0] = np.array([0, 0, 3, 0, 5])
    content = generator.normal(size=(N_ITEMS, 4))
    content[[2, 3]] = 0
    return SequenceContext(Sequences.from_lists(rows), ItemTable.of_size(N_ITEMS, spaces={CONTENT: content}))


def by_clicks(context: SequenceContext, one: int, other: int) -> float:
    """Cosine of two items' users, in plain Python."""
    users = [set(context.train.row(b).tolist()) for b in range(len(context.train))]
    weight = [1 / math.log(1 + len(user)) if user else 0.0 for user in users]
    common = sum(w for user, w in zip(users, weight, strict=True) if {one, other} <= user)
    sizes = [sum(w for user, w in zip(users, weight, strict=True) if item in user) for item in (one, other)]
    return common / math.sqrt(sizes[0] * sizes[1])


def by_content(context: SequenceContext, one: int, other: int) -> float:
    left, right = context.items.vectors(CONTENT)[[one, other]].astype(float)
    size = float(np.linalg.norm(left) * np.linalg.norm(right))
    return float(left @ right) / size if size else 0.0


def row(context: SequenceContext, similarity: str, item: int, others: list[int]) -> list[float]:
    found = {"clicks": [by_clicks(context, item, other) for other in others]}
    found["content"] = [by_content(context, item, other) for other in others]
    if similarity != "both":
        return found[similarity]
    scaled = [
        [s / max([*scores, 0.0]) if max(scores) > 0 else 0.0 for s in scores] for scores in found.values()
    ]
    return [max(pair) for pair in zip(*scaled, strict=True)]


@pytest.mark.parametrize("similarity", ["clicks", "content", "both"])
@pytest.mark.parametrize("at_once", [1, 60, 1 << 24])
def test_lists_are_the_oracle_s(
    context: SequenceContext,
    similarity: Literal["clicks", "content", "both"],
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "SCORES_AT_ONCE", at_once)
    monkeypatch.setattr(neighbours, "ROWS", max(at_once // 20, 1))
    neighbourhood = find_neighbours(context.train, N_ITEMS, 5, similarity, context.items.vectors(CONTENT))
    found, similarities = neighbourhood.ids_NK, neighbourhood.similarities_NK
    assert ((similarities > 0) == (found != ABSENT)).all()
    clicked = sorted(set(context.train.items.tolist()))
    assert len(clicked) < N_ITEMS
    for item in range(N_ITEMS):
        ids = [other for other in found[item].tolist() if other != ABSENT]
        if item not in clicked:
            assert ids == []
            continue
        others = [other for other in clicked if other != item]
        scores = dict(zip(others, row(context, similarity, item, others), strict=True))
        best = sorted((s for s in scores.values() if s > 1e-9), reverse=True)[:5]
        assert len(set(ids)) == len(ids) == len(best)
        np.testing.assert_allclose([scores[other] for other in ids], best, atol=1e-5)
        np.testing.assert_allclose(similarities[item, : len(ids)], best, atol=1e-5)


def test_an_item_outside_the_training_part_is_nobody_s_neighbour(context: SequenceContext) -> None:
    # Item 24 is never clicked, and its content is that of item 0.
    content = context.items.vectors(CONTENT).copy()
    content[24] = content[0]
    found = find_neighbours(context.train, N_ITEMS, 20, "content", content)
    assert 24 not in found.ids_NK
    assert not found.known_N[24]


def test_equal_tables_are_made_once(context: SequenceContext) -> None:
    assert context.neighbours(3, "clicks") is context.neighbours(3, "clicks")


def test_similarity_by_content_needs_vectors(context: SequenceContext) -> None:
    with pytest.raises(InputError, match="similarity: clicks"):
        find_neighbours(context.train, N_ITEMS, 3, "content")


def test_content_of_another_catalogue_is_refused(context: SequenceContext) -> None:
    other = SequenceContext(context.train, ItemTable.of_size(N_ITEMS, spaces={CONTENT: np.zeros((7, 2))}))
    with pytest.raises(ValueError, match="7 rows"):
        other.neighbours(3, "content")
