"""The space of co-clicks in an experiment: of the training part alone, made once, on first use."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data import co_clicks
from crossrec.data.catalog import Catalog
from crossrec.data.co_clicks import BehaviourConfig
from crossrec.data.interactions import ClickLog
from crossrec.data.item_table import BEHAVIOUR, CATEGORY, ItemTable
from crossrec.data.prepare import DataConfig, PreparedData
from crossrec.data.splits import SPLITS
from crossrec.evaluation.metrics.diversity import intra_list_distance
from crossrec.experiment.config import SpacesConfig
from crossrec.experiment.prepared import blank_item_table, item_table
from crossrec.losses.terms import DIVERSITY_TERMS
from crossrec.losses.terms.positions import PositionSample
from crossrec.rerank import RERANKERS
from crossrec.rerank.base import Pool
from crossrec.types import InputError, Sequences

N_ITEMS = 12
CONTENT = cast("Any", None)
"""No item has a text or a picture, so that nothing is encoded."""

ROWS = [[user % 3 + 3 * step for step in range(4)] + [(user * 5 + 1) % N_ITEMS] * 2 for user in range(9)]


def prepared(rows: list[list[int]], tmp_path: Path = Path("unused")) -> PreparedData:
    """Return data split by leave-one-out, items of three groups in turn."""
    lengths = np.cumsum([0, *map(len, rows)])
    times = np.arange(lengths[-1])
    clicks = Sequences(lengths, np.concatenate(rows).astype(np.int64), times)
    split = SPLITS.parse({"type": "leave_one_out"}).build().split(clicks, N_ITEMS, repeats=True)
    catalog = Catalog.from_columns({"item_id": [f"i{n}" for n in range(N_ITEMS)]})
    users = np.asarray([f"u{n}" for n in range(len(rows))], dtype=object)
    config = DataConfig(cache_dir=tmp_path)
    return PreparedData("log", "", catalog, ClickLog(clicks, users), split, cast("Any", None), config)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.integers(0, N_ITEMS - 1)), min_size=9, max_size=9))
def test_no_held_out_click_reaches_it(held_out: list[tuple[int, int]]) -> None:
    other = [[*row[:-2], *pair] for row, pair in zip(ROWS, held_out, strict=True)]
    found, expected = (item_table(prepared(rows), SpacesConfig(), CONTENT) for rows in (other, ROWS))
    np.testing.assert_array_equal(found.vectors(BEHAVIOUR), expected.vectors(BEHAVIOUR))
    np.testing.assert_array_equal(found.present(BEHAVIOUR), expected.train_counts > 0)


def test_every_training_click_reaches_it() -> None:
    expected = item_table(prepared(ROWS), SpacesConfig(), CONTENT).vectors(BEHAVIOUR)
    other = [[*ROWS[0][:3], 11, *ROWS[0][4:]], *ROWS[1:]]
    found = item_table(prepared(other), SpacesConfig(), CONTENT).vectors(BEHAVIOUR)
    assert np.abs(found @ found.T - expected @ expected.T).max() > 0.1


def test_it_is_made_once_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    compute = co_clicks.co_click_vectors

    def counted(*arguments: Any) -> np.ndarray:
        made.append(1)
        return compute(*arguments)

    monkeypatch.setattr(co_clicks, "co_click_vectors", counted)
    data = prepared(ROWS)
    first, second = (item_table(data, SpacesConfig(), CONTENT) for _ in range(2))
    assert first.spaces == blank_item_table(data, SpacesConfig()).spaces == [BEHAVIOUR]
    assert not made
    for table in (first, second, first.take(np.arange(3)), data.item_table(), first.to("cpu")):
        table.unit(BEHAVIOUR)
    assert len(made) == 1
    narrow = SpacesConfig(behaviour=BehaviourConfig(width=2))
    assert item_table(data, narrow, CONTENT).vectors(BEHAVIOUR).shape == (N_ITEMS, 2)


@pytest.mark.parametrize("rows", [ROWS, [[0, 1, 2]]])
def test_without_it_a_client_is_told_why(rows: list[list[int]]) -> None:
    spaces = SpacesConfig(behaviour=None) if rows is ROWS else SpacesConfig()
    for table in (item_table(prepared(rows), spaces, CONTENT), blank_item_table(prepared(rows), spaces)):
        assert table.spaces == []
        with pytest.raises(InputError, match=r"no two users with .*, or spaces\.behaviour is null"):
            RERANKERS.parse({"type": "mmr", "space": BEHAVIOUR}).build(table)


@pytest.fixture(scope="module")
def items() -> ItemTable:
    return item_table(prepared([[*row, 0, 0] for row in ROWS]), SpacesConfig(), CONTENT)


@pytest.mark.parametrize("reranker", ["mmr", "dpp", "max_sum", "ssd"])
def test_rerankers_spread_lists_over_it(items: ItemTable, reranker: str) -> None:
    ids = torch.tensor([[0, 3, 6, 9, 1, 4, 7, 10]])
    pool = Pool(ids, torch.linspace(1, 0, 8)[None], Sequences.from_lists([[]]))
    stage = RERANKERS.parse({"type": reranker, "space": BEHAVIOUR, "diversity": 0.7}).build(items)
    vectors, present = items.vectors(BEHAVIOUR), items.present(BEHAVIOUR)
    (before,) = intra_list_distance(ids.numpy(), vectors, present, 4)
    (after,) = intra_list_distance(stage.rerank(pool, 4).ids_BC.numpy(), vectors, present, 4)
    assert after > before + 0.1


@pytest.mark.parametrize("term", ["similarity", "dpp"])
def test_terms_tell_alike_lists_from_others_in_it(items: ItemTable, term: str) -> None:
    options = DIVERSITY_TERMS.parse({"type": term, "space": BEHAVIOUR, "k": 4, "temperature": 0.02})
    built, vectors, zero = options.build(items, N_ITEMS), torch.eye(N_ITEMS), torch.zeros(1, dtype=torch.long)

    def value(chosen: list[int]) -> float:
        query = torch.zeros(1, N_ITEMS)
        query[0, chosen] = 1
        seen, tables = torch.full((1, 1), -1), {BEHAVIOUR: items.unit(BEHAVIOUR)}
        step = PositionSample(query, query, zero, zero, seen, N_ITEMS, vectors, tables=tables)
        return float(built(step))

    assert value([0, 3, 6, 9]) > value([0, 1, 2, 3]) + 0.05
    assert CATEGORY not in items.spaces
