"""Trained network behind the Recommender protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Self

import numpy as np
import torch
from torch import Tensor

from crossrec.model.neighbours import NeighbourScores
from crossrec.model.network import SequentialNetwork
from crossrec.model.sequence.base import History
from crossrec.runtime import distributed
from crossrec.runtime.ranking import rank_by_vectors
from crossrec.types import ABSENT, AddedScores, Sequences, TopK
from crossrec.vectors import pad_rows

ENCODE_CHUNK = 4096

POSITIONS = {"cpu": 4_096}
"""Number of positions per batch of the sequence model (16,384 on other devices), hundreds of short
histories. On a CPU activations should stay in the cache: with 4,096 one core took 22 µs per history of
Beauty's lengths, with 16,384 it took 34 µs."""


def extended_by(histories: Sequences) -> np.ndarray:
    """Return (B,) for each history the last row of the run in which every history begins the next one.

    Args:
        histories: B rows; a history that no next one continues is its own, as is an empty one.
    """
    own_B = np.arange(len(histories))
    offsets, lengths = np.asarray(histories.offsets), histories.lengths
    before = np.flatnonzero((lengths[:-1] > 0) & (lengths[1:] == lengths[:-1] + 1))
    for values in (histories.items, histories.times):
        if values is not None and len(before):
            some = histories.take(before)
            at = some.row_of_click
            nth = np.arange(len(at)) - some.offsets[at]
            same = values[offsets[before][at] + nth] == values[offsets[before + 1][at] + nth]
            before = before[np.bincount(at, ~same, len(before)) == 0]
    begins_B = np.zeros(len(histories), dtype=bool)
    begins_B[before] = True
    ends = np.flatnonzero(~begins_B)
    return ends[np.searchsorted(ends, own_B)]


class NeuralRecommender:
    """Recommender with a :class:`SequentialNetwork`.

    Item vectors are computed once, on first use, distributed over the processes; call :meth:`refresh` after
    the network has changed. Those of items added later are computed when needed.

    Args:
        network: network.
        fitter: function that trains the network in place on sequences; None for inference only.
        name: name in tables.
        shown: names of the modalities to read, the others counting as missing; all when None.
        mixed: whether the network's neighbours count, if it has any.
    """

    def __init__(
        self,
        network: SequentialNetwork,
        *,
        fitter: Callable[[NeuralRecommender, Sequences], None] | None = None,
        name: str = "crossrec",
        shown: Collection[str] | None = None,
        mixed: bool = True,
    ) -> None:
        self.network = network
        self.name = name
        self.shown = shown
        self.mixed = mixed
        self._fitter = fitter
        self._vectors_ND: Tensor | None = None

    @property
    def n_items(self) -> int:
        """N."""
        return self.network.n_items

    @property
    def device(self) -> torch.device:
        """Device of the network's parameters."""
        return next(self.network.parameters()).device

    def fit(self, train: Sequences) -> Self:
        """Train the network.

        Raises:
            RuntimeError: if the recommender was made without a fitter.
        """
        if self._fitter is None:
            raise RuntimeError("this recommender was loaded for use; train through crossrec.experiment")
        self._fitter(self, train)
        self.refresh()
        return self

    def refresh(self) -> None:
        """Discard the item vectors after the network has changed."""
        self._vectors_ND = None

    @property
    def neighbours(self) -> NeighbourScores | None:
        """Scores of item-kNN that are added; None without, and when only some modalities are read."""
        return self.network.neighbours if self.mixed and self.shown is None else None

    @torch.no_grad()
    def item_vectors(self) -> Tensor:
        """Return (N, D) float32 vectors of the whole catalogue for comparison.

        With neighbours, an item of few clicks is partly, one without any wholly, its vector without ids.
        """
        if self._vectors_ND is None:
            self.network.eval()
            share = distributed.shard(self.n_items)
            own = self._encode(share.start, share.stop).cpu().numpy()
            self._vectors_ND = torch.from_numpy(distributed.gather_rows(own)).to(self.device)
        if len(self._vectors_ND) < self.n_items:
            self.network.eval()
            added_KD = self._encode(len(self._vectors_ND), self.n_items)
            self._vectors_ND = torch.cat([self._vectors_ND, added_KD])
        return self._vectors_ND

    def _encode(self, start: int, stop: int) -> Tensor:
        """Return (K, D) vectors of the items from ``start`` to before ``stop``."""
        rows = torch.arange(start, stop, device=self.device)
        if not len(rows):
            return self.network.item_vectors(torch.zeros(1, dtype=torch.long, device=self.device))[:0].float()
        return torch.cat([self._blended(chunk) for chunk in rows.split(ENCODE_CHUNK)])

    def _blended(self, items_K: Tensor) -> Tensor:
        vectors_KD = self.network.item_vectors(items_K, self.shown).float()
        content = self._content_names()
        if self.neighbours is None or not content:
            return vectors_KD
        share_N = torch.from_numpy(self.neighbours.cold_share(self.n_items)).to(items_K.device)
        share_K = share_N[items_K] * self.network.items.present(items_K, content)
        return torch.lerp(vectors_KD, self.network.item_vectors(items_K, content).float(), share_K[:, None])

    def _content_names(self) -> list[str]:
        """Return the modalities of content: all that are read but learned embeddings."""
        modalities = self.network.items.modalities.items()
        names = [name for name, modality in modalities if not modality.learned]
        return [name for name in names if self.shown is None or name in self.shown]

    @torch.no_grad()
    def content_vectors(self, start: int = 0) -> np.ndarray:
        """Return (N - start, D) float32 vectors without ids and groups; zeros for an item without content."""
        self.network.eval()
        content = self._content_names()
        if not content:
            return np.zeros((self.n_items - start, 1), np.float32)
        blocks = []
        for chunk in torch.arange(start, self.n_items, device=self.device).split(ENCODE_CHUNK):
            vectors_KD = self.network.item_vectors(chunk, content).float()
            blocks.append((vectors_KD * self.network.items.present(chunk, content)[:, None]).cpu().numpy())
        return np.concatenate(blocks)

    def added(self, histories: Sequences) -> AddedScores | None:
        """Return what is added to the dot products of queries and item vectors; None for nothing.

        Like the sequence model, neighbours read the latest ``history_length`` clicks.
        """
        neighbours = self.neighbours
        if neighbours is None:
            return None
        if neighbours.n_known < self.n_items:
            neighbours.grow(self.content_vectors(neighbours.n_known))
        recent = histories.tail(self.network.history_length)
        return AddedScores(neighbours.added(recent), neighbours.bonus(self.n_items), histories.lengths > 0)

    @torch.no_grad()
    def queries(self, histories: Sequences) -> Tensor:
        """Return queries of histories: the dot product with :meth:`item_vectors` is the score.

        Histories of similar length are batched together to avoid padding. A causal model reads a history
        that is the beginning of the next one, such as the same user's a click earlier, in one pass with it.

        Returns:
            (B, D) float32; zeros for an empty history.
        """
        vectors_ND = self.item_vectors()
        self.network.eval()
        recent = histories.tail(self.network.history_length)
        causal = self.network.sequence.mask_share is None
        whole_B = extended_by(recent) if causal else np.arange(len(recent))
        read_R, place_B = np.unique(whole_B, return_inverse=True)
        by_place = np.argsort(place_B, kind="stable")
        first_R = np.searchsorted(place_B[by_place], np.arange(len(read_R) + 1))
        order = np.argsort(-recent.lengths[read_R], kind="stable")
        queries_BD = vectors_ND.new_empty(len(histories), vectors_ND.shape[1])
        positions = POSITIONS.get(self.device.type, 16_384)
        start = 0
        while start < len(order):
            longest = max(int(recent.lengths[read_R[order[start]]]), 1)
            some = order[start : start + max(positions // longest, 1)]
            history = self._history(recent.take(read_R[some]), vectors_ND)
            rows = np.concatenate([by_place[first_R[place] : first_R[place + 1]] for place in some])
            if len(rows) == len(some):
                found = self.network(history)
            else:
                of_row = np.repeat(np.arange(len(some)), np.diff(first_R)[some])
                at = (torch.from_numpy(part).to(self.device) for part in (of_row, recent.lengths[rows]))
                found = self.network.along(history, *at)
            queries_BD[torch.from_numpy(rows).to(self.device)] = found.float()
            start += len(some)
        return queries_BD

    def _history(self, sequences: Sequences, vectors_ND: Tensor) -> History:
        vectors_BLD = vectors_ND[self._padded(sequences.items, sequences.lengths)]
        times_BL = None
        if self.network.sequence.reads_times and sequences.times is not None:
            times_BL = self._padded(sequences.times, sequences.lengths)
        return History(vectors_BLD, torch.from_numpy(sequences.lengths).to(self.device), times_BL)

    def _padded(self, values_T: np.ndarray, lengths_B: np.ndarray) -> Tensor:
        return torch.from_numpy(pad_rows(values_T, lengths_B)).to(self.device)

    @torch.no_grad()
    def score(self, histories: Sequences, candidates: np.ndarray | None = None) -> Tensor:
        """Return (B, N) float32 scores, or (B, K) of candidates; -inf if absent, 0 after an empty history."""
        queries_BD, vectors_ND, added = self.queries(histories), self.item_vectors(), self.added(histories)
        if candidates is None:
            scores_BN = queries_BD @ vectors_ND.T
            return scores_BN if added is None else scores_BN + added.dense().to(scores_BN.device)
        absent_BK = torch.from_numpy(candidates == ABSENT).to(self.device)
        chosen_BKD = vectors_ND[torch.from_numpy(np.maximum(candidates, 0)).to(self.device)]
        scores_BK = torch.einsum("bd,bkd->bk", queries_BD, chosen_BKD)
        if added is not None:
            scores_BK += added.of(np.maximum(candidates, 0)).to(scores_BK.device)
        return scores_BK.masked_fill(absent_BK, -torch.inf)

    def recommend(self, histories: Sequences, k: int, exclude: Sequences | None = None) -> TopK:
        """Return the best k items for each history, in memory of order ``B * (D + k)``, independent of N."""
        return rank_by_vectors(
            self.queries(histories), self.item_vectors(), k, exclude, added=self.added(histories)
        )
