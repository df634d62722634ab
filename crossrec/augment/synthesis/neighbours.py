"""Distances to nearest neighbours, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 1024
"""Rows whose distances to all others are held at once."""


def blocks(rows_nW: Tensor, others_mW: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields slices of the rows with their (b, m) Euclidean distances to all others."""
    for start in range(0, len(rows_nW), BLOCK):
        part = slice(start, min(start + BLOCK, len(rows_nW)))
        # The matrix form loses digits where vectors nearly coincide, which is where copies show.
        yield part, torch.cdist(rows_nW[part], others_mW, compute_mode="donot_use_mm_for_euclid_dist")


def neighbour_radii(vectors_nW: Tensor, k: int) -> Tensor:
    """(n,) distance of each vector to its k-th nearest among the others."""
    radii_n = vectors_nW.new_empty(len(vectors_nW))
    for part, distance_bn in blocks(vectors_nW, vectors_nW):
        rows = torch.arange(part.start, part.stop)
        distance_bn[torch.arange(len(rows)), rows] = torch.inf
        radii_n[part] = distance_bn.kthvalue(k, dim=1).values
    return radii_n


def nearest_distances(vectors_nW: Tensor, reference_mW: Tensor) -> Tensor:
    """(n,) distance of each vector to the nearest of a reference."""
    found_n = vectors_nW.new_empty(len(vectors_nW))
    for part, distance_bm in blocks(vectors_nW, reference_mW):
        found_n[part] = distance_bm.amin(1)
    return found_n


def mean_distance(vectors_nW: Tensor) -> float:
    """Mean Euclidean distance between two different vectors; 0 where there are fewer than two."""
    n = len(vectors_nW)
    if n < 2:
        return 0.0
    total = sum(float(distance.double().sum()) for _, distance in blocks(vectors_nW, vectors_nW))
    return total / (n * (n - 1))
