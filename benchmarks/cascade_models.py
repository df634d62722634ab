"""The full models of ``cascade.py``: a sequence model as shipped, and a network that reads pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossrec.model.fusion.base import SingleModality
from crossrec.model.modalities.layers import FrozenFeatures
from crossrec.model.network import ItemEncoder, SequentialNetwork
from crossrec.model.recommender import NeuralRecommender
from crossrec.model.sequence.base import History
from crossrec.model.sequence.llm import LLMSequenceModel
from crossrec.model.sequence.sasrec import SASRec
from crossrec.runtime.ranking import recommend_by_score
from crossrec.types import Sequences, TopK

NEGATIVES, BATCH, TEMPERATURE = 1024, 128, 0.07
PAIR_WIDTH, PAIRS_AT_ONCE = 64, 1 << 19
"""Inner width of the network that reads pairs, and how many it reads at a time."""


def full_model(
    features: np.ndarray, width: int, length: int, layers: int, llm_weights: str | None
) -> SequentialNetwork:
    """The network as the package builds it, over frozen item vectors.

    Args:
        features: (N, W).
        width: D of item vectors.
        length: clicks of a history.
        layers: of SASRec.
        llm_weights: of a decoder in its place.
    """
    torch.manual_seed(0)
    source = FrozenFeatures(features, np.ones(len(features), bool), components=None)
    items = ItemEncoder({"text": source}, SingleModality(1, width), width, dropout=0.0, modality_dropout=0.0)
    config: SASRec.Options | LLMSequenceModel.Options = SASRec.Options(max_length=length, layers=layers)
    if llm_weights is not None:
        config = LLMSequenceModel.Options(weights=llm_weights, max_length=length)
    sequence = config.build(width, Path("cache"))
    return SequentialNetwork(items, sequence, len(features), similarity="cosine", temperature=TEMPERATURE)


def train(network: SequentialNetwork, clicks: np.ndarray, steps: int) -> None:
    """Softmax over the step's own targets and random negatives, at every position."""
    rng = np.random.default_rng(1)
    learned = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=2e-3)
    network.train()
    # Queries come with the temperature; item vectors of unit length make the cosine.
    for _ in range(steps):
        rows = torch.from_numpy(clicks[rng.integers(0, len(clicks), BATCH)])
        lengths = torch.full((BATCH,), rows.shape[1] - 1)
        hidden = network.hidden(
            History(network.item_vectors(rows[:, :-1].flatten()).view(BATCH, rows.shape[1] - 1, -1), lengths)
        )
        queries = network.queries(hidden).flatten(0, 1)
        others = torch.from_numpy(rng.integers(0, network.n_items, NEGATIVES))
        target = (queries * network.item_vectors(rows[:, 1:].flatten())).sum(1, keepdim=True)
        logits = torch.cat([target, queries @ network.item_vectors(others).T], 1)
        loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()


class PairScorer(nn.Module):
    """Scores a history and a candidate that it reads together; costs the same for every pair.

    Args:
        base: gives the vectors of histories and items.
        width: of an item vector.
    """

    def __init__(self, base: NeuralRecommender, width: int) -> None:
        super().__init__()
        self.base = base
        self.layers = nn.Sequential(
            nn.Linear(3 * width, PAIR_WIDTH),
            nn.ReLU(),
            nn.Linear(PAIR_WIDTH, PAIR_WIDTH),
            nn.ReLU(),
            nn.Linear(PAIR_WIDTH, 1),
        )

    @property
    def n_items(self) -> int:
        """N."""
        return self.base.n_items

    def fit(self, train: Sequences) -> Self:
        """Has been trained by :func:`train_pairs`."""
        return self

    def pairs(self, queries_BD: Tensor, items_BKD: Tensor) -> Tensor:
        """(B, K) scores: the dot product, corrected by what the network reads off the pair."""
        wide = (queries_BD * TEMPERATURE).unsqueeze(1).expand_as(items_BKD)
        read = torch.cat([wide, items_BKD, wide * items_BKD], -1)
        return (queries_BD.unsqueeze(1) * items_BKD).sum(-1) + self.layers(read).squeeze(-1)

    @torch.no_grad()
    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """(B, N), or (B, K) for candidates; some histories at a time."""
        queries_BD, vectors_ND = self.base.queries(histories), self.base.item_vectors()
        width = self.n_items if candidates is None else candidates.shape[1]
        parts = []
        for start in range(0, len(histories), step := max(PAIRS_AT_ONCE // width, 1)):
            rows = slice(start, start + step)
            items = vectors_ND[None] if candidates is None else vectors_ND[torch.from_numpy(candidates[rows])]
            parts.append(self.pairs(queries_BD[rows], items.expand(len(queries_BD[rows]), -1, -1)))
        return torch.cat(parts)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Scores every pair."""
        return recommend_by_score(self, histories, k, exclude, batch=4)


def train_pairs(scorer: PairScorer, clicks: np.ndarray, steps: int) -> None:
    """Softmax over the next click and 31 others of the base model's best 200 or of the catalogue."""
    rng = np.random.default_rng(2)
    optimiser = torch.optim.AdamW(scorer.layers.parameters(), lr=1e-3)
    vectors_ND = scorer.base.item_vectors()
    for _ in range(steps):
        rows = clicks[rng.integers(0, len(clicks), BATCH)]
        histories = Sequences.from_lists(rows[:, :-1])
        hard = scorer.base.recommend(histories, 200).ids
        chosen = np.take_along_axis(hard, rng.integers(0, 200, (BATCH, 24)), 1)
        others = np.concatenate([chosen, rng.integers(0, scorer.n_items, (BATCH, 7))], axis=1)
        target = rows[:, -1:]
        items = torch.from_numpy(np.concatenate([target, others], axis=1))
        again = torch.from_numpy(np.concatenate([np.zeros_like(target), others == target], axis=1)) > 0
        scores = scorer.pairs(scorer.base.queries(histories), vectors_ND[items]).masked_fill(
            again, -torch.inf
        )
        loss = F.cross_entropy(scores, torch.zeros(BATCH, dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
