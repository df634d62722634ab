"""Novelty, tail share and serendipity against plain-Python oracles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from crossrec.data.item_table import ItemTable
from crossrec.evaluation.matching import match_targets
from crossrec.evaluation.metrics.novelty import novelty, serendipity, tail_share
from crossrec.types import ABSENT, Sequences

N_ITEMS = 9
PLACES = 5

items = st.integers(0, N_ITEMS - 1)
ranked_lists = st.lists(items, max_size=PLACES, unique=True).map(
    lambda row: row + [ABSENT] * (PLACES - len(row))
)
queries = st.lists(
    st.tuples(ranked_lists, st.lists(items, max_size=4), st.lists(items, max_size=6)), min_size=1, max_size=6
)
counts = st.lists(st.integers(0, 5), min_size=N_ITEMS, max_size=N_ITEMS).map(np.array)
lengths = st.integers(1, PLACES)


def facts_of(train_counts: np.ndarray) -> ItemTable:
    return ItemTable(train_counts, csr_matrix((len(train_counts), 0)))


def oracle_tail(train_counts: list[int], share: float) -> set[int]:
    order = sorted(range(len(train_counts)), key=lambda i: (-train_counts[i], i))
    head, clicks = set(), 0
    for item in order:
        if clicks >= (1 - share) * sum(train_counts) - 1e-9:
            break
        head.add(item)
        clicks += train_counts[item]
    return set(range(len(train_counts))) - head


@given(queries, counts, lengths)
def test_novelty_matches_the_oracle(rows: list, train_counts: np.ndarray, k: int) -> None:
    total = int(train_counts.sum())
    expected = []
    for ranked, _, _ in rows:
        bits = [-math.log2((train_counts[i] + 1) / (total + N_ITEMS)) for i in ranked[:k] if i != ABSENT]
        expected.append(sum(bits) / len(bits) if bits else math.nan)
    ids = np.array([ranked for ranked, _, _ in rows])
    np.testing.assert_allclose(novelty(ids, train_counts, k), expected, atol=1e-12)


@given(queries, counts, lengths, st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))
def test_tail_share_matches_the_oracle(rows: list, train_counts: np.ndarray, k: int, share: float) -> None:
    tail_N = facts_of(train_counts).tail(share)
    tail = oracle_tail(train_counts.tolist(), share)
    assert set(np.flatnonzero(tail_N).tolist()) == tail
    expected = []
    for ranked, _, _ in rows:
        here = [i for i in ranked[:k] if i != ABSENT]
        expected.append(sum(i in tail for i in here) / len(here) if here else math.nan)
    ids = np.array([ranked for ranked, _, _ in rows])
    np.testing.assert_allclose(tail_share(ids, tail_N, k), expected, atol=1e-12)


@given(queries, counts, lengths, st.booleans())
def test_serendipity_matches_the_oracle(rows: list, train_counts: np.ndarray, k: int, exclude: bool) -> None:
    order = sorted(range(N_ITEMS), key=lambda i: (-train_counts[i], i))
    expected = []
    for ranked, targets, history in rows:
        popular = [i for i in order if not (exclude and i in history)][:k]
        found = [i for i in ranked[:k] if i in targets and i not in popular]
        expected.append(len(found) / k if targets else math.nan)
    ids = np.array([ranked for ranked, _, _ in rows])
    histories = Sequences.from_lists([history for _, _, history in rows])
    laid = match_targets(ids, Sequences.from_lists([targets for _, targets, _ in rows]), histories, N_ITEMS)
    found_Q = serendipity(ids, laid.hits_QK, laid.n_targets_Q, histories, train_counts, exclude, k)
    np.testing.assert_allclose(found_Q, expected, atol=1e-12)


def test_tail_known_by_hand() -> None:
    facts = facts_of(np.array([10, 60, 20, 10, 0]))
    # 60 + 20 = 80 % of the clicks: the head is items 1 and 2.
    assert facts.tail(0.2).tolist() == [True, False, False, True, True]
    assert facts_of(np.zeros(3, dtype=int)).tail(0.2).all()


def test_facts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="categories have 2 rows for 3 items"):
        ItemTable(np.ones(3), csr_matrix((2, 1)))
    with pytest.raises(ValueError, match="space 'text'"):
        ItemTable(np.ones(3), csr_matrix((3, 1)), {"text": np.ones((2, 4))}).vectors("text")
