"""A log of users who stay with a kind of item, and a model that learns it with or without diversity terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from crossrec.data.item_table import ItemTable
from crossrec.losses import DiversityOptions
from crossrec.losses.full_softmax import FullSoftmax
from crossrec.losses.sampled_softmax import SampledSoftmax
from crossrec.model.fusion.concat import ConcatFusion
from crossrec.model.modalities.item_id import ItemIdEmbedding
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.sequence.bert4rec import BERT4Rec
from crossrec.model.sequence.sasrec import SASRec
from crossrec.training.task import ItemPredictionTask
from crossrec.training.windows import WindowBatches
from crossrec.types import Sequences

N_ITEMS, KINDS, WIDTH, LENGTH = 60, 3, 16, 8
OBJECTIVES = {"full": FullSoftmax.Options(), "sampled": SampledSoftmax.Options(negatives=16)}
EVERY_TERM = {
    "similarity": {"type": "similarity", "weight": 0.5},
    "alike": {"type": "similarity", "space": "model", "weight": 0.1},
    "jaccard": {"type": "jaccard", "weight": 0.1, "candidates": 20},
    "dpp": {"type": "dpp", "weight": 0.1, "space": "model", "detach": False, "candidates": 20},
    "entropy": {"type": "entropy", "weight": 0.1},
    "gini": {"type": "gini", "weight": 0.1},
    "adversary": {"type": "adversarial", "weight": 0.1, "of": "history"},
    "item_to_user": {"type": "item_to_user", "weight": 0.5},
}


def kinds_log(n_users: int = 60) -> Sequences:
    """Users who mostly stay with one kind of item, and of it mostly click the first few."""
    generator = np.random.default_rng(0)
    rows = []
    for length in generator.integers(4, 14, n_users):
        own = generator.integers(KINDS)
        kind = np.where(generator.random(length) < 0.85, own, generator.integers(0, KINDS, length))
        place = (20 * generator.random(length) ** 3).astype(int)
        rows.append(list(dict.fromkeys((place * KINDS + kind).tolist())))
    return Sequences.from_lists(rows)


def build_task(
    diversity: dict[str, Any] | None, *, objective: str = "full", dropout: float = 0.0, model: str = "sasrec"
) -> ItemPredictionTask:
    torch.manual_seed(0)
    items = ItemEncoder(
        {"id": ItemIdEmbedding(np.ones(N_ITEMS, bool), WIDTH)},
        ConcatFusion.Options().build(1, WIDTH),
        WIDTH,
        dropout=dropout,
        modality_dropout=0.0,
    )
    config = (
        SASRec.Options(max_length=LENGTH, dropout=dropout)
        if model == "sasrec"
        else BERT4Rec.Options(max_length=LENGTH, dropout=dropout, mask_share=0.4)
    )
    network = SequentialNetwork(
        items, config.build(WIDTH, Path()), N_ITEMS, similarity="cosine", temperature=0.1
    )
    counts = np.bincount(kinds_log().items, minlength=N_ITEMS)
    terms = None
    if diversity is not None:
        info = ItemTable(torch.from_numpy(counts), torch.eye(KINDS)[torch.arange(N_ITEMS) % KINDS])
        chosen = TypeAdapter(DiversityOptions).validate_python({"type": "terms", **diversity})
        terms = chosen.build(info, WIDTH)
    return ItemPredictionTask(network, OBJECTIVES[objective].build(counts), torch.arange(N_ITEMS), terms)


@pytest.fixture(scope="session")
def clicks() -> Sequences:
    """The log: 60 items of 3 kinds, 60 users."""
    return kinds_log()


@pytest.fixture(scope="session")
def task() -> Callable[..., ItemPredictionTask]:
    """``task(diversity, objective="full", dropout=0.0, model="sasrec")``: a fresh model of width 16."""
    return build_task


@pytest.fixture(scope="session")
def dealer(clicks: Sequences) -> WindowBatches:
    """Batches of 30 users."""
    return WindowBatches(clicks, max_length=LENGTH, batch_size=30, overlap=0.25, seed=0)


@pytest.fixture(scope="session")
def every_term() -> dict[str, dict[str, Any]]:
    """Settings of one term of each kind, by name."""
    return EVERY_TERM
