"""A trained network behind the Recommender protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Tensor

from crossrec.model.network import SequentialNetwork
from crossrec.runtime import distributed
from crossrec.runtime.ranking import recommend_by_score
from crossrec.types import Sequences, TopK

ENCODE_CHUNK = 4096


class NeuralRecommender:
    """Scores histories with a :class:`SequentialNetwork`.

    Item vectors are computed once, on first use, shared out over the processes; call
    :meth:`refresh` after the network has changed.

    Args:
        network: the model.
        fitter: trains the network in place on sequences; None for a recommender that is only used.
        name: what tables call it.
    """

    def __init__(
        self,
        network: SequentialNetwork,
        *,
        fitter: Callable[[NeuralRecommender, Sequences], None] | None = None,
        name: str = "crossrec",
    ) -> None:
        self.network = network
        self.name = name
        self._fitter = fitter
        self._vectors_ND: Tensor | None = None

    @property
    def n_items(self) -> int:
        """N."""
        return self.network.n_items

    @property
    def device(self) -> torch.device:
        """Where the network's parameters lie."""
        return next(self.network.parameters()).device

    def fit(self, train: Sequences) -> Self:
        """Trains the network.

        Raises:
            RuntimeError: the recommender was made without a fitter.
        """
        if self._fitter is None:
            raise RuntimeError("this recommender was loaded for use; train through crossrec.experiment")
        self._fitter(self, train)
        self.refresh()
        return self

    def refresh(self) -> None:
        """Forgets the item vectors: the network has changed."""
        self._vectors_ND = None

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """(N, D) float32 vectors of the whole catalogue, as they are compared."""
        if self._vectors_ND is None:
            self.network.eval()
            share = distributed.shard(self.n_items)
            rows = torch.arange(share.start, share.stop, device=self.device)
            chunks = [self.network.item_vectors(c).float() for c in rows.split(ENCODE_CHUNK)]
            own = torch.cat(chunks).cpu().numpy() if len(rows) else self._no_vectors()
            self._vectors_ND = torch.from_numpy(distributed.gather_rows(own)).to(self.device)
        return self._vectors_ND

    def _no_vectors(self) -> np.ndarray:
        width = self.network.item_vectors(torch.zeros(1, dtype=torch.long, device=self.device)).shape[1]
        return np.zeros((0, width), np.float32)

    @torch.no_grad()
    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """(B, N) float32 scores, or (B, K) for candidates; all zero after an empty history."""
        vectors_ND = self.item_vectors()
        self.network.eval()
        recent = histories.tail(self.network.sequence.max_length)
        items_BL, lengths_B = pad(recent)
        queries_BD = self.network(vectors_ND[items_BL.to(self.device)], lengths_B.to(self.device)).float()
        if candidates is None:
            return queries_BD @ vectors_ND.T
        chosen_BKD = vectors_ND[torch.from_numpy(candidates).to(self.device)]
        return torch.einsum("bd,bkd->bk", queries_BD, chosen_BKD)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """The best k items for each history; neighbours in length are scored together."""
        order = np.argsort(histories.lengths, kind="stable")
        ranked = recommend_by_score(
            self, histories.take(order), k, None if exclude is None else exclude.take(order)
        )
        back = np.argsort(order, kind="stable")
        return TopK(ranked.ids[back], ranked.scores[back])


def pad(sequences: Sequences) -> tuple[Tensor, Tensor]:
    """Right-padded (B, L) int64 items (0 in padded places, L at least 1) and (B,) lengths."""
    lengths = sequences.lengths
    items_BL = np.zeros((len(sequences), max(int(lengths.max(initial=0)), 1)), np.int64)
    items_BL[np.arange(items_BL.shape[1]) < lengths[:, None]] = sequences.items
    return torch.from_numpy(items_BL), torch.from_numpy(lengths)
