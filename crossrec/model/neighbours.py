"""Scores of item-kNN inside a network: added to the similarity, with a start for items without clicks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags, vstack
from torch import Tensor, nn

from crossrec.types import ABSENT, Sequences
from crossrec.vectors import unit_rows

PREFIX = "neighbours."
"""Prefix of the buffers' names in a network's weights."""

ITEMS_AT_ONCE = 1024


class NeighbourScores(nn.Module):
    """Item-kNN's score of each item after a history, scaled to the network's scores, and the cold start.

    With S the (N, N) similarities of items by common users, h the history's clicks weighted by age, and s
    the network's score, an item's score is

        s'_i + weight * (h S)_i / max_j (h S)_j + cold_bonus * share_i

    An item with n training clicks is treated as a cold item by ``share = shrinkage / (n + shrinkage)``: that
    share of its vector is its vector without ids, which gives s', and that share of its column of S is the
    mean of the columns of the items alike in these vectors. So an item without clicks is recommended to those
    who like items of its content.

    Source:
        Item-kNN: Sarwar et al. 2001. Shrinkage towards a prior by the number of observations: empirical
        Bayes, as in Bell and Koren 2007, section 4. Cold items by the neighbours of their content: Gantner
        et al. 2010, "Learning attribute-to-feature mappings for cold-start recommendations", section 3.2.

    Args:
        similarity_NN: S, float32, rows are clicked items and columns scored ones.
        share_N: share of each item that is treated as a cold item, 0 to 1.
        weight: weight of the neighbours' score.
        recency: weight of a click relative to the next later one.
        cold_bonus: score added to cold items.
        alike: number of items whose columns a cold item's column is the mean of.
        temperature: temperature of their weights, a softmax of cosines.
    """

    similarity: csr_matrix
    """S with the columns of all items, of those added after training too."""

    offsets: Tensor
    items: Tensor
    values: Tensor
    share: Tensor
    settings: Tensor

    def __init__(
        self,
        similarity_NN: csr_matrix,
        share_N: np.ndarray,
        *,
        weight: float,
        recency: float,
        cold_bonus: float,
        alike: int,
        temperature: float,
    ) -> None:
        super().__init__()
        matrix = csr_matrix(similarity_NN, dtype=np.float32)
        matrix.sort_indices()
        self.register_buffer("offsets", torch.from_numpy(matrix.indptr.astype(np.int64)))
        self.register_buffer("items", torch.from_numpy(matrix.indices.astype(np.int64)))
        self.register_buffer("values", torch.from_numpy(matrix.data))
        self.register_buffer("share", torch.from_numpy(share_N.astype(np.float32)))
        settings = [weight, recency, cold_bonus, alike, temperature]
        self.register_buffer("settings", torch.tensor(settings, dtype=torch.float64))
        self.similarity = matrix
        self.n_trained = matrix.shape[0]
        self._content_ND: np.ndarray | None = None

    @classmethod
    def from_saved(cls, tensors: Mapping[str, Tensor]) -> NeighbourScores | None:
        """Return the scores saved with a network's weights; None if there are none."""
        if f"{PREFIX}settings" not in tensors:
            return None
        saved = {
            name.removeprefix(PREFIX): t.numpy() for name, t in tensors.items() if name.startswith(PREFIX)
        }
        size = len(saved["share"])
        matrix = csr_matrix((saved["values"], saved["items"], saved["offsets"]), shape=(size, size))
        weight, recency, cold_bonus, alike, temperature = saved["settings"].tolist()
        return cls(
            matrix,
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
            self.share.cpu().numpy(),
            weight=weight,
            recency=self.recency,
            cold_bonus=cold_bonus,
            alike=self.alike,
            temperature=self.temperature,
        )

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
        content_ND = (
            content_KD if self._content_ND is None else np.concatenate([self._content_ND, content_KD])
        )
        self._content_ND = content_ND
        n_items, size = len(content_ND), self.similarity.shape[1]
        fresh = np.arange(n_items) >= size
        fresh[:size] = (self.cold_share(size) == 1) & (self.similarity.getnnz(axis=0) == 0)
        if not fresh.any():
            return
        warm_N = self.cold_share(n_items) < 1
        wide = csr_matrix(
            (self.similarity.data, self.similarity.indices, self.similarity.indptr), shape=(size, n_items)
        )
        means = mean_columns(wide, content_ND, np.flatnonzero(fresh), warm_N, self.alike, self.temperature)
        joined = csr_matrix(wide + means)
        rows = csr_matrix((n_items - size, n_items), dtype=np.float32)
        self.similarity = csr_matrix(vstack([joined, rows])) if n_items > size else joined

    def added(self, histories: Sequences) -> csr_matrix:
        """Return (B, N) float32 weighted scores of the neighbours, without the bonus of cold items."""
        ages = (
            np.asarray(histories.offsets)[1:].repeat(histories.lengths) - 1 - np.arange(len(histories.items))
        )
        decays = np.power(self.recency, ages.astype(np.float64)).astype(np.float32)
        if histories.weights is not None:
            decays *= histories.weights
        shape = (len(histories), self.similarity.shape[0])
        offsets, items = np.asarray(histories.offsets), np.asarray(histories.items, np.int64)
        scores_BN = csr_matrix((decays, items, offsets), shape=shape) @ self.similarity
        # Over the items of the training alone, so that items added later leave the others' scores.
        largest_B = scores_BN[:, : self.n_trained].max(axis=1).toarray().ravel()
        factors_B = np.divide(self.weight, largest_B, out=np.zeros_like(largest_B), where=largest_B > 0)
        return csr_matrix(diags(factors_B.astype(np.float32)) @ scores_BN, dtype=np.float32)

    def bonus(self, n_items: int) -> np.ndarray:
        """Return (N,) float32 scores added to items as far as they are cold."""
        return (self.cold_bonus * self.cold_share(n_items)).astype(np.float32)


def shrunk_columns(
    similarity_NN: csr_matrix,
    share_N: np.ndarray,
    content_ND: np.ndarray,
    warm_N: np.ndarray,
    alike: int,
    temperature: float,
) -> csr_matrix:
    """Return similarities whose columns are, by each item's share, the mean of those of items alike.

    Args:
        similarity_NN: S, rows are clicked items and columns scored ones.
        share_N: share of each column to replace, 0 to 1.
        content_ND: item vectors without ids, zeros for an item without content.
        warm_N: bool, items whose columns may stand for others.
        alike: number of items alike.
        temperature: temperature of their weights.
    """
    chosen = np.flatnonzero(share_N > 0)
    means = mean_columns(similarity_NN, content_ND, chosen, warm_N, alike, temperature)
    kept = similarity_NN @ diags((1 - share_N).astype(np.float32))
    mixed = csr_matrix(kept + means @ diags(share_N.astype(np.float32)), dtype=np.float32)
    mixed.eliminate_zeros()
    return mixed


def mean_columns(
    similarity_NN: csr_matrix,
    content_ND: np.ndarray,
    chosen: np.ndarray,
    warm_N: np.ndarray,
    alike: int,
    temperature: float,
) -> csr_matrix:
    """Return a matrix whose chosen columns are means of the columns of items alike; others are empty.

    An item without content, or for which no other item has any, gets an empty column.
    """
    unit_ND = unit_rows(np.asarray(content_ND, np.float32))
    has_N = np.linalg.norm(unit_ND, axis=1) > 0
    warm = np.flatnonzero(warm_N & has_N)
    chosen = chosen[has_N[chosen]]
    n_items = len(content_ND)
    places, sources, weights = [], [], []
    for block in np.array_split(chosen, max(-(-len(chosen) // ITEMS_AT_ONCE), 1)):
        cosines_KW = unit_ND[block] @ unit_ND[warm].T
        cosines_KW[block[:, None] == warm[None]] = -np.inf
        count = min(alike, len(warm))
        if not count or not len(block):
            continue
        best_KA = np.argpartition(-cosines_KW, count - 1, axis=1)[:, :count]
        found_KA = np.take_along_axis(cosines_KW, best_KA, axis=1)
        with np.errstate(invalid="ignore"):
            powers_KA = np.exp((found_KA - found_KA.max(axis=1, keepdims=True)) / temperature)
        powers_KA = np.nan_to_num(powers_KA)
        total_K1 = powers_KA.sum(axis=1, keepdims=True)
        shares_KA = np.divide(powers_KA, total_K1, out=np.zeros_like(powers_KA), where=total_K1 > 0)
        places.append(block.repeat(count))
        sources.append(warm[best_KA].ravel())
        weights.append(shares_KA.ravel())
    if not places:
        return csr_matrix(similarity_NN.shape, dtype=np.float32)
    cells = (np.concatenate(sources), np.concatenate(places))
    mixing = csr_matrix((np.concatenate(weights).astype(np.float32), cells), shape=(n_items, n_items))
    return csr_matrix(similarity_NN @ mixing, dtype=np.float32)


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
    moved = csr_matrix(move @ there.similarity @ move.T, dtype=np.float32)
    moved.sort_indices()
    share_N = np.ones(len(rows_N), np.float32)
    share_N[known] = there.share.numpy()[rows_N[known]]
    return {
        f"{PREFIX}offsets": torch.from_numpy(moved.indptr.astype(np.int64)),
        f"{PREFIX}items": torch.from_numpy(moved.indices.astype(np.int64)),
        f"{PREFIX}values": torch.from_numpy(moved.data),
        f"{PREFIX}share": torch.from_numpy(share_N),
        f"{PREFIX}settings": there.settings,
    }
