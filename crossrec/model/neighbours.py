"""Scores of item-kNN inside a network: added to the similarity, with a start for items without clicks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor, nn

from crossrec.types import ABSENT, Sequences
from crossrec.vectors import unit_rows

PREFIX = "neighbours."
"""Prefix of the buffers' names in a network's weights."""

ITEMS_AT_ONCE = 1024

DENSE_CELLS = 1 << 24
"""Maximum size of S M as a dense matrix, 64 MiB: for small catalogues it takes a fifth of the time."""


class NeighbourScores(nn.Module):
    """Item-kNN's score of each item after a history, scaled to the network's scores, and the cold start.

    With S the (N, N) similarities of items by common users, h the history's clicks weighted by age, and s
    the network's score, an item's score is

        s'_i + weight * (h S)_i / max_j (h S)_j + cold_bonus * share_i

    An item with n training clicks is treated as a cold item by ``share = shrinkage / (n + shrinkage)``: that
    share of its vector is its vector without ids, which gives s', and that share of its column of S is the
    mean of the columns of the items alike in these vectors. So an item without clicks is recommended to those
    who like items of its content. The means are taken of h S, by a sparse matrix M with a column per scored
    item: S M itself would have several times the entries of S.

    Source:
        Item-kNN: Sarwar et al. 2001. Shrinkage towards a prior by the number of observations: empirical
        Bayes, as in Bell and Koren 2007, section 4. Cold items by the neighbours of their content: Gantner
        et al. 2010, "Learning attribute-to-feature mappings for cold-start recommendations", section 3.2.

    Args:
        similarity_NN: S, float32, rows are clicked items and columns scored ones.
        mixing_NN: M, float32, from :func:`mixing_columns`.
        share_N: share of each item that is treated as a cold item, 0 to 1.
        weight: weight of the neighbours' score.
        recency: weight of a click relative to the next later one.
        cold_bonus: score added to cold items.
        alike: number of items whose columns a cold item's column is the mean of.
        temperature: temperature of their weights, a softmax of cosines.
    """

    mixing: csr_matrix
    """M with the columns of all items, of those added after training too."""

    share: Tensor
    settings: Tensor

    def __init__(
        self,
        similarity_NN: csr_matrix,
        mixing_NN: csr_matrix,
        share_N: np.ndarray,
        *,
        weight: float,
        recency: float,
        cold_bonus: float,
        alike: int,
        temperature: float,
    ) -> None:
        super().__init__()
        self.similarity, self.mixing = _sorted(similarity_NN), _sorted(mixing_NN)
        for name, matrix in (("similarity", self.similarity), ("mixing", self.mixing)):
            for part, array in _arrays(name, matrix).items():
                self.register_buffer(part, torch.from_numpy(array))
        self.register_buffer("share", torch.from_numpy(share_N.astype(np.float32)))
        settings = [weight, recency, cold_bonus, alike, temperature]
        self.register_buffer("settings", torch.tensor(settings, dtype=torch.float64))
        self._content_ND: np.ndarray | None = None
        self._dense_NN: np.ndarray | None = None

    @classmethod
    def from_saved(cls, tensors: Mapping[str, Tensor]) -> NeighbourScores | None:
        """Return the scores saved with a network's weights; None if there are none."""
        if f"{PREFIX}settings" not in tensors:
            return None
        saved = {
            name.removeprefix(PREFIX): t.numpy() for name, t in tensors.items() if name.startswith(PREFIX)
        }
        weight, recency, cold_bonus, alike, temperature = saved["settings"].tolist()
        return cls(
            _matrix("similarity", saved),
            _matrix("mixing", saved),
            saved["share"],
            weight=weight,
            recency=recency,
            cold_bonus=cold_bonus,
            alike=int(alike),
            temperature=temperature,
        )

    def with_weights(self, weight: float, cold_bonus: float) -> NeighbourScores:
        """Return the same scores with another weight and bonus."""
        return NeighbourScores(
            self.similarity,
            self.mixing,
            self.share.cpu().numpy(),
            weight=weight,
            recency=self.recency,
            cold_bonus=cold_bonus,
            alike=self.alike,
            temperature=self.temperature,
        )

    @property
    def n_trained(self) -> int:
        """Number of items when the scores were made or loaded."""
        return int(self.similarity.shape[0])

    @property
    def weight(self) -> float:
        """Weight of the neighbours' score."""
        return float(self.settings[0])

    @property
    def recency(self) -> float:
        """Weight of a click relative to the next later one."""
        return float(self.settings[1])

    @property
    def cold_bonus(self) -> float:
        """Score added to cold items."""
        return float(self.settings[2])

    @property
    def alike(self) -> int:
        """Number of items whose columns a cold item's column is the mean of."""
        return int(self.settings[3])

    @property
    def temperature(self) -> float:
        """Temperature of their weights."""
        return float(self.settings[4])

    @property
    def n_known(self) -> int:
        """Number of items that :meth:`grow` has seen."""
        return 0 if self._content_ND is None else len(self._content_ND)

    def cold_share(self, n_items: int) -> np.ndarray:
        """Return (N,) float32 shares of items treated as cold items; 1 for items added after training."""
        share_N = np.ones(n_items, np.float32)
        share_N[: len(self.share)] = self.share.cpu().numpy()
        return share_N

    def grow(self, content_KD: np.ndarray) -> None:
        """Give a column to each item that has none: those added after training, or new in the catalogue.

        Args:
            content_KD: vectors without ids of the items after the ``n_known`` first ones, zeros for an item
                without content.
        """
        known = [] if self._content_ND is None else [self._content_ND]
        self._content_ND = content_ND = np.concatenate([*known, content_KD])
        n_items, size = len(content_ND), self.mixing.shape[1]
        fresh_N = np.arange(n_items) >= size
        fresh_N[:size] = (self.cold_share(size) == 1) & (self.mixing.getnnz(axis=0) == 0)
        if not fresh_N.any():
            return
        means = mixing_columns(
            fresh_N.astype(np.float32), content_ND, self.cold_share(n_items) < 1, self.alike, self.temperature
        )[: self.n_trained]
        # Columns that exist stay as they are.
        means = means @ diags(fresh_N.astype(np.float32))
        old = self.mixing
        wide = csr_matrix((old.data, old.indices, old.indptr), shape=(self.n_trained, n_items))
        self.mixing = csr_matrix(wide + means, dtype=np.float32)
        self._dense_NN = None

    def added(self, histories: Sequences) -> csr_matrix:
        """Return (B, N) float32 weighted scores of the neighbours, without the bonus of cold items."""
        ages = (
            np.asarray(histories.offsets)[1:].repeat(histories.lengths) - 1 - np.arange(len(histories.items))
        )
        decays = np.power(self.recency, ages.astype(np.float64)).astype(np.float32)
        if histories.weights is not None:
            decays *= histories.weights
        shape = (len(histories), max(self.mixing.shape[1], self.n_trained))
        offsets, items = np.asarray(histories.offsets), np.asarray(histories.items, np.int64)
        history_BN = csr_matrix((decays, items, offsets), shape=shape)[:, : self.n_trained]
        scores_BN = self._mixed(history_BN)
        # Over the items of the training alone, so that items added later leave the others' scores.
        trained_BN = scores_BN[:, : self.n_trained] if shape[1] > self.n_trained else scores_BN
        largest_B = _largest(trained_BN)
        factors_B = np.divide(self.weight, largest_B, out=np.zeros_like(largest_B), where=largest_B > 0)
        scores_BN.data *= factors_B.repeat(np.diff(scores_BN.indptr))
        return scores_BN

    def _mixed(self, history_BN: csr_matrix) -> csr_matrix:
        """Return h S M."""
        if self.n_trained * self.mixing.shape[1] > DENSE_CELLS:
            return csr_matrix(history_BN @ self.similarity @ self.mixing, dtype=np.float32)
        if self._dense_NN is None:
            self._dense_NN = (self.similarity @ self.mixing).toarray()
        scores_BN = history_BN @ self._dense_NN
        n_rows, n_items = scores_BN.shape
        indices = np.tile(np.arange(n_items, dtype=np.int32), n_rows)
        offsets = np.arange(n_rows + 1) * n_items
        return csr_matrix((scores_BN.ravel(), indices, offsets), shape=scores_BN.shape)

    def bonus(self, n_items: int) -> np.ndarray:
        """Return (N,) float32 scores added to items as far as they are cold."""
        return (self.cold_bonus * self.cold_share(n_items)).astype(np.float32)


def mixing_columns(
    share_N: np.ndarray, content_ND: np.ndarray, warm_N: np.ndarray, alike: int, temperature: float
) -> csr_matrix:
    """Return (N, N) M: an item's column keeps 1 - share of the item itself, and has share of items alike.

    Items alike are weighted by a softmax of cosines. The share of an item without content, or for which no
    other item has any, is lost.

    Args:
        share_N: share of each item that is treated as a cold item, 0 to 1.
        content_ND: item vectors without ids, zeros for an item without content.
        warm_N: bool, items that may stand for others.
        alike: number of items alike.
        temperature: temperature of their weights.
    """
    unit_ND = unit_rows(np.asarray(content_ND, np.float32))
    has_N = np.linalg.norm(unit_ND, axis=1) > 0
    warm, chosen = np.flatnonzero(warm_N & has_N), np.flatnonzero((share_N > 0) & has_N)
    n_items, count = len(content_ND), min(alike, len(warm))
    mixing = diags((1 - share_N).astype(np.float32)).tocsr()
    if not count or not len(chosen):
        return mixing
    places, sources, weights = [], [], []
    for block in np.array_split(chosen, -(-len(chosen) // ITEMS_AT_ONCE)):
        cosines_KW = unit_ND[block] @ unit_ND[warm].T
        cosines_KW[block[:, None] == warm[None]] = -np.inf
        best_KA = np.argpartition(-cosines_KW, count - 1, axis=1)[:, :count]
        found_KA = np.take_along_axis(cosines_KW, best_KA, axis=1)
        # An item that is alone has only itself, at -inf: no weights.
        peak_K1 = np.maximum(found_KA.max(axis=1, keepdims=True), -2)
        powers_KA = np.exp((found_KA - peak_K1) / temperature)
        total_K1 = powers_KA.sum(axis=1, keepdims=True)
        shares_KA = np.divide(powers_KA, total_K1, out=np.zeros_like(powers_KA), where=total_K1 > 0)
        places.append(block.repeat(count))
        sources.append(warm[best_KA].ravel())
        weights.append((shares_KA * share_N[block, None]).ravel())
    cells = (np.concatenate(sources), np.concatenate(places))
    means = csr_matrix((np.concatenate(weights).astype(np.float32), cells), shape=(n_items, n_items))
    mixed = csr_matrix(mixing + means, dtype=np.float32)
    mixed.eliminate_zeros()
    return mixed


def _largest(scores_BN: csr_matrix) -> np.ndarray:
    """Return (B,) largest entries, 0 for a row without any; entries are not negative."""
    largest_B = np.zeros(scores_BN.shape[0], np.float32)
    filled_B = np.diff(scores_BN.indptr) > 0
    if filled_B.any():
        largest_B[filled_B] = np.maximum.reduceat(scores_BN.data, scores_BN.indptr[:-1][filled_B])
    return largest_B


def _sorted(matrix: csr_matrix) -> csr_matrix:
    found = csr_matrix(matrix, dtype=np.float32)
    found.sort_indices()
    return found


def _arrays(name: str, matrix: csr_matrix) -> dict[str, np.ndarray]:
    """Return a matrix as buffers; item indices as int32, so that an entry takes 8 bytes."""
    return {
        f"{name}_offsets": matrix.indptr.astype(np.int64),
        f"{name}_items": matrix.indices.astype(np.int32),
        f"{name}_values": matrix.data,
    }


def _matrix(name: str, saved: Mapping[str, np.ndarray]) -> csr_matrix:
    size = len(saved["share"])
    parts = tuple(saved[f"{name}_{part}"] for part in ("values", "items", "offsets"))
    return csr_matrix(parts, shape=(size, size))


def align_neighbours(tensors: Mapping[str, Tensor], rows_N: np.ndarray) -> dict[str, Tensor]:
    """Return saved neighbours for a catalogue in another order or with other items.

    Args:
        tensors: name -> weight of a network.
        rows_N: for each item of the catalogue its row in the weights, ``ABSENT`` for a new item.
    """
    there = NeighbourScores.from_saved(tensors)
    if there is None:
        return {}
    known = np.flatnonzero(rows_N != ABSENT)
    size = len(there.share)
    move = csr_matrix((np.ones(len(known), np.float32), (known, rows_N[known])), shape=(len(rows_N), size))
    share_N = np.ones(len(rows_N), np.float32)
    share_N[known] = there.share.numpy()[rows_N[known]]
    moved = {
        name: array
        for part, matrix in (("similarity", there.similarity), ("mixing", there.mixing))
        for name, array in _arrays(part, _sorted(move @ matrix @ move.T)).items()
    }
    tensors = {name: torch.from_numpy(array) for name, array in {**moved, "share": share_N}.items()}
    return {f"{PREFIX}{name}": tensor for name, tensor in {**tensors, "settings": there.settings}.items()}
