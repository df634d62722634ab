"""From content to codes: its map to what users click together, residual k-means, and a catalogue's codes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from crossrec.data.co_clicks import co_click_vectors, has_co_clicks
from crossrec.model.semantic_ids.trie import Trie
from crossrec.types import ABSENT, InputError, Sequences

ITERATIONS = 25
"""Maximum number of iterations of k-means."""

MOST_ROWS = 100_000
"""Number of items that codebooks are computed from; of a larger catalogue a random part is drawn."""

BLOCK = 8192
"""Number of items compared with the centroids at a time."""

RIDGE = 10.0
"""Penalty of the map's squared weights, beside one squared error per item."""


def co_click_map(content_NW: np.ndarray, train: Sequences) -> np.ndarray:
    """Return the (W, R) float32 ridge regression of items' co-click vectors on their content.

    Args:
        content_NW: content vectors.
        train: training clicks; only clicked items count.

    Raises:
        InputError: if there are fewer than two users or items with clicks.
    """
    if not has_co_clicks(train):
        raise InputError(
            "model.sequence.codebooks=clicks needs clicks of two users on two items; set "
            "model.sequence.codebooks=content"
        )
    targets_NR = co_click_vectors(train, len(content_NW)).astype(np.float64)
    known_N = np.bincount(train.items, minlength=len(content_NW)) > 0
    known_MW = content_NW[known_N].astype(np.float64)
    with threadpool_limits(1):
        penalised_WW = known_MW.T @ known_MW + RIDGE * np.eye(known_MW.shape[1])
        found: np.ndarray = np.linalg.solve(penalised_WW, known_MW.T @ targets_NR[known_N])
    return found.astype(np.float32)


def residual_kmeans(vectors_NW: np.ndarray, n_codes: int, n_levels: int, seed: int) -> np.ndarray:
    """Return the codebooks of a residual quantisation: k-means, then k-means of what it leaves, and so on.

    A cluster without items is moved to the item that is farthest from its own centroid, so that no code is
    unused as long as there are other vectors than centroids.

    Args:
        vectors_NW: float32 content vectors of at least one item.
        n_codes: K, codes per level.
        n_levels: L.
        seed: seed of the initial centroids.

    Returns:
        (L, K, W) float32 centroids; a function of the arguments alone, since one thread computes it.

    Source:
        Rajput et al. 2023, Recommender Systems with Generative Retrieval (TIGER), section 3.1, who compare
        residual k-means with RQ-VAE.
    """
    generator = np.random.default_rng(seed)
    rest = np.array(vectors_NW, dtype=np.float32)
    if len(rest) > MOST_ROWS:
        rest = rest[np.sort(generator.permutation(len(rest))[:MOST_ROWS])]
    books = []
    with threadpool_limits(1):
        for _ in range(n_levels):
            centroids_KW = _kmeans(rest, n_codes, generator)
            rest -= centroids_KW[nearest_centroids(rest, centroids_KW)[0]]
            books.append(centroids_KW)
    return np.stack(books)


def nearest_centroids(vectors_NW: np.ndarray, centroids_KW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N,) the nearest centroid of each vector, ties to the lower number, and (N,) squared distances.

    Args:
        vectors_NW: float32 vectors.
        centroids_KW: float32 centroids.
    """
    codes, distances = [], []
    lengths_K = (centroids_KW**2).sum(1)
    for start in range(0, len(vectors_NW), BLOCK):
        block = vectors_NW[start : start + BLOCK]
        between_BK = lengths_K - 2 * block @ centroids_KW.T
        codes.append(between_BK.argmin(1))
        distances.append(np.maximum(between_BK.min(1) + (block**2).sum(1), 0))
    if not codes:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    return np.concatenate(codes), np.concatenate(distances)


def _kmeans(vectors_NW: np.ndarray, n_codes: int, generator: np.random.Generator) -> np.ndarray:
    """Return (K, W) centroids by Lloyd's algorithm from rows that are far apart."""
    centroids_KW = _spread_rows(vectors_NW, n_codes, generator)
    before = None
    for _ in range(ITERATIONS):
        codes_N, distances_N = nearest_centroids(vectors_NW, centroids_KW)
        codes_N = _without_dead_codes(codes_N, distances_N, n_codes)
        if before is not None and np.array_equal(codes_N, before):
            break
        before = codes_N
        counts_K = np.bincount(codes_N, minlength=n_codes)
        order = np.argsort(codes_N, kind="stable")
        used = np.flatnonzero(counts_K)
        starts = np.concatenate([[0], np.cumsum(counts_K[used])[:-1]])
        sums = np.add.reduceat(vectors_NW[order], starts, axis=0)
        centroids_KW[used] = sums / counts_K[used, None]
    return centroids_KW


def _spread_rows(vectors_NW: np.ndarray, n_codes: int, generator: np.random.Generator) -> np.ndarray:
    """Return K rows, each the best of several drawn in proportion to their squared distance from the others.

    Source: Arthur and Vassilvitskii 2007, k-means++, section 5 (the greedy variant).
    """
    chosen = [int(generator.integers(len(vectors_NW)))]
    lengths_N = (vectors_NW**2).sum(1)
    far_N = _distances(vectors_NW, lengths_N, np.asarray(chosen))[:, 0]
    for _ in range(n_codes - 1):
        drawn = generator.random(2 + int(np.log(n_codes))) * far_N.sum()
        rows_C = np.minimum(np.searchsorted(far_N.cumsum(), drawn, side="right"), len(far_N) - 1)
        left_NC = np.minimum(far_N[:, None], _distances(vectors_NW, lengths_N, rows_C))
        best = int(left_NC.sum(0).argmin())
        chosen.append(int(rows_C[best]))
        far_N = left_NC[:, best]
    return vectors_NW[chosen].copy()


def _distances(vectors_NW: np.ndarray, lengths_N: np.ndarray, rows_C: np.ndarray) -> np.ndarray:
    """Return (N, C) squared distances from some of the vectors."""
    between_NC = vectors_NW @ vectors_NW[rows_C].T
    found: np.ndarray = np.maximum(lengths_N[:, None] - 2 * between_NC + lengths_N[rows_C], 0)
    return found


def _without_dead_codes(codes_N: np.ndarray, distances_N: np.ndarray, n_codes: int) -> np.ndarray:
    """Return the codes with the farthest items moved, one each, to the codes without items."""
    counts_K = np.bincount(codes_N, minlength=n_codes)
    dead = np.flatnonzero(counts_K == 0)
    if not len(dead):
        return codes_N
    codes_N = codes_N.copy()
    free = iter(dead.tolist())
    for row in np.argsort(-distances_N, kind="stable"):
        # The last item of a code stays: moving it would leave that one unused.
        if distances_N[row] <= 0 or counts_K[codes_N[row]] == 1:
            continue
        code = next(free, None)
        if code is None:
            break
        counts_K[codes_N[row]] -= 1
        codes_N[row] = code
        counts_K[code] = 1
    return codes_N


def number_collisions(codes_NL: np.ndarray, taken_MC: np.ndarray, priority_N: np.ndarray) -> np.ndarray:
    """Return (N,) the number of each item among those with the same codes, from 0.

    Args:
        codes_NL: codes of the items.
        taken_MC: codes and numbers of other items; numbers start after theirs.
        priority_N: items with a larger value come first, then the lower row.
    """
    both = np.concatenate([taken_MC[:, :-1], codes_NL])
    group = np.unique(both, axis=0, return_inverse=True)[1].reshape(-1)
    first = np.zeros(int(group.max(initial=-1)) + 1, np.int64)
    np.maximum.at(first, group[: len(taken_MC)], taken_MC[:, -1] + 1)
    own = group[len(taken_MC) :]
    order = np.lexsort((np.arange(len(own)), -priority_N, own))
    starts = np.flatnonzero(np.diff(own[order], prepend=-1))
    place = np.arange(len(own)) - np.repeat(starts, np.diff(starts, append=len(own)))
    numbers = np.empty(len(own), np.int64)
    numbers[order] = place + first[own[order]]
    return numbers


class SemanticIds(nn.Module):
    """Codebooks, and the codes of all items: L codes of content and a number that resolves collisions.

    Numbers beyond those of the last code's vocabulary become its last number, so that items added to a
    crowded cell may share all codes.

    Args:
        centroids_LKW: codebooks.
        table_NC: (N, L + 1) codes; rows of ``ABSENT`` are filled in by :meth:`fill`.
        trained_N: bool, items with training clicks.
        n_numbers: size of the last code's vocabulary.
        map_WV: linear map of content before it is quantised; of no columns for none.
    """

    centroids: Tensor
    map: Tensor
    table: Tensor
    trained: Tensor
    added: Tensor

    def __init__(
        self,
        centroids_LKW: np.ndarray,
        table_NC: np.ndarray,
        trained_N: np.ndarray,
        n_numbers: int,
        map_WV: np.ndarray,
    ) -> None:
        super().__init__()
        self.n_levels, self.n_codes, _ = centroids_LKW.shape
        self.sizes = (self.n_codes,) * self.n_levels + (n_numbers,)
        self.register_buffer("centroids", torch.from_numpy(np.array(centroids_LKW, np.float32)))
        self.register_buffer("map", torch.from_numpy(np.array(map_WV, np.float32)))
        self.register_buffer("table", torch.from_numpy(np.array(table_NC, np.int64)))
        self.register_buffer("trained", torch.from_numpy(np.array(trained_N, bool)))
        # Not saved: items added later get the same codes again from the saved codebooks.
        self.register_buffer("added", torch.zeros(0, len(self.sizes), dtype=torch.int64), persistent=False)

    @classmethod
    def fitted(
        cls,
        vectors_NW: np.ndarray,
        train_counts: np.ndarray,
        n_codes: int,
        n_levels: int,
        seed: int,
        map_WV: np.ndarray | None = None,
    ) -> SemanticIds:
        """Return ids of a catalogue's content; codebooks are those of the items with training clicks.

        Args:
            vectors_NW: float32 content vectors.
            train_counts: (N,) training clicks; within a collision, items with more of them come first.
            n_codes: K.
            n_levels: L.
            seed: seed of the codebooks.
            map_WV: linear map of the content before it is quantised; None for none.
        """
        trained_N = train_counts > 0
        map_WV = np.zeros((0, 0), np.float32) if map_WV is None else map_WV
        vectors_NW = mapped(vectors_NW, map_WV)
        books = residual_kmeans(vectors_NW[trained_N], n_codes, n_levels, seed)
        codes_NL = quantised(vectors_NW, books)
        numbers_N = number_collisions(codes_NL, np.zeros((0, n_levels + 1), np.int64), train_counts)
        table_NC = np.column_stack([codes_NL, numbers_N])
        # Room for items that are added later.
        n_numbers = max(n_codes, 2 * (int(numbers_N.max(initial=0)) + 1))
        return cls(books, table_NC, trained_N, n_numbers, map_WV)

    @classmethod
    def saved(cls, tensors: Mapping[str, Tensor], n_numbers: int) -> SemanticIds:
        """Return the ids of a trained network, from its weights by their names in this module."""
        arrays = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        return cls(arrays["centroids"], arrays["table"], arrays["trained"], n_numbers, arrays["map"])

    @property
    def codes(self) -> Tensor:
        """(N, C) codes of all items, the added ones last."""
        return torch.cat([self.table, self.added]) if len(self.added) else self.table

    @property
    def unfilled(self) -> np.ndarray:
        """Rows of items that have no codes yet."""
        found: np.ndarray = torch.nonzero(self.table[:, 0] == ABSENT).squeeze(1).cpu().numpy()
        return found

    def trie(self) -> Trie:
        """Return the prefix tree of all codes."""
        trained_N = np.pad(self.trained.cpu().numpy(), (0, len(self.added)))
        return Trie.of(self.codes.cpu().numpy(), trained_N).to(self.table.device)

    def fill(self, rows_K: np.ndarray, vectors_KW: np.ndarray) -> None:
        """Set the codes of rows that have none.

        Args:
            rows_K: rows of the table.
            vectors_KW: their content vectors.
        """
        found = self._continued(vectors_KW)
        self.table[torch.from_numpy(rows_K).to(self.table.device)] = found

    def append(self, vectors_KW: np.ndarray) -> None:
        """Append items by their content vectors; the codes of the others stay."""
        self.added = torch.cat([self.added, self._continued(vectors_KW)])

    def _continued(self, vectors_KW: np.ndarray) -> Tensor:
        """Return (K, C) codes of further items."""
        vectors_KW = mapped(vectors_KW, self.map.cpu().numpy())
        codes_KL = quantised(vectors_KW, self.centroids.cpu().numpy())
        there = self.codes.cpu().numpy()
        there = there[there[:, 0] != ABSENT]
        numbers_K = number_collisions(codes_KL, there, np.zeros(len(codes_KL)))
        found_KC = np.column_stack([codes_KL, np.minimum(numbers_K, self.sizes[-1] - 1)])
        return torch.from_numpy(found_KC).to(self.table.device)


def mapped(vectors_NW: np.ndarray, map_WV: np.ndarray) -> np.ndarray:
    """Return vectors after a linear map, if it has any columns."""
    if not map_WV.shape[1]:
        return vectors_NW
    with threadpool_limits(1):
        found: np.ndarray = vectors_NW @ map_WV
    return found


def quantised(vectors_NW: np.ndarray, centroids_LKW: np.ndarray) -> np.ndarray:
    """Return (N, L) codes: the nearest centroid, then that of the residual, and so on.

    Args:
        vectors_NW: float32 content vectors.
        centroids_LKW: codebooks.
    """
    rest = np.array(vectors_NW, dtype=np.float32)
    codes = []
    with threadpool_limits(1):
        for centroids_KW in centroids_LKW:
            codes.append(nearest_centroids(rest, centroids_KW)[0])
            rest -= centroids_KW[codes[-1]]
    return np.stack(codes, axis=1)
