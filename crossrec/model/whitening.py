"""Linear maps of frozen features: centring and scaling, or PCA whitening."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits
from torch import Tensor

Whitening = int | Literal["auto"] | None
"""Number of whitened dimensions; "auto" chooses it from the data, None only centres and scales."""

ITEMS_PER_DIMENSION = 8
"""Number of items per dimension that "auto" keeps: with as many dimensions as items, all items are equally
distant, and linear maps memorise each."""

FEWEST, MOST = 8, 256
"""Bounds of the dimensions that "auto" keeps, if the features have as many."""

SHARE = 0.99
"""Share of the variance at which "auto" stops, whatever the number of items."""

FLOOR = 1e-3
"""Share of the largest variance added to all variances, so that small ones are not amplified."""

EMPTY = 1e-9
"""Directions with less than this share of the largest variance are empty: they are mapped to zero."""


@dataclass(frozen=True)
class FeatureMap:
    """``(x - mean) @ basis``, or ``(x - mean) * basis`` for a basis of one number.

    Args:
        mean: (W,) float32 mean.
        basis: (W, C) float32 for a whitening, (1,) for a scale.
        variance: share of the features' variance in the C dimensions; None if unknown.
        n_items: number of items in the statistics; None if unknown.
    """

    mean: np.ndarray
    basis: np.ndarray
    variance: float | None = None
    n_items: int | None = None

    @property
    def width(self) -> int:
        """C, or W without whitening."""
        return len(self.mean) if self.basis.ndim == 1 else self.basis.shape[1]

    def account(self) -> dict[str, int | float | None]:
        """Return a mapping for the run's files."""
        whitened = self.basis.ndim == 2
        return {
            "width": len(self.mean),
            "whitened_to": self.width if whitened else None,
            "variance": self.variance,
            "n_items": self.n_items,
        }

    def describe(self) -> str:
        """Return a description for the plan of a training."""
        if self.basis.ndim == 1:
            return f"{self.width} dimensions, not whitened"
        said = f"whitened to {self.width} of {len(self.mean)} dimensions"
        return said if self.variance is None else f"{said}, {self.variance:.0%} of the variance"


def fit_map(vectors: np.ndarray, present: np.ndarray, whitening: Whitening) -> FeatureMap:
    """Return the map for (N, W) encoder output with statistics of the items that are ``present``, (N,) bool.

    It is a function of the vectors alone: in float64, on one thread, with fixed signs of the axes.

    Source:
        Su et al. 2021, "Whitening sentence representations for better semantics and faster retrieval";
        Zhang et al. 2024, "Are ID embeddings necessary? Whitening pre-trained text embeddings for effective
        sequential recommendation" (WhitenRec).
    """
    known = np.asarray(vectors[present], dtype=np.float64)
    if whitening is None or len(known) < 2:
        return _scaling(known, vectors.shape[1])
    with threadpool_limits(1):
        mean = known.mean(0)
        values, axes = np.linalg.eigh(np.cov(known - mean, rowvar=False).reshape(len(mean), len(mean)))
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    if values[0] <= 0:
        return _scaling(known, vectors.shape[1])
    kept = chosen_dimensions(values, len(known)) if whitening == "auto" else min(whitening, len(values))
    total, values, axes = values.sum(), values[:kept], _with_fixed_signs(axes[:, :kept])
    scales = np.where(values > EMPTY * values[0], 1 / np.sqrt(values + FLOOR * values[0]), 0)
    basis = (axes * scales).astype(np.float32)
    return FeatureMap(mean.astype(np.float32), basis, float(values.sum() / total), len(known))


def chosen_dimensions(values_W: np.ndarray, n_items: int) -> int:
    """Return the number of dimensions that "auto" keeps.

    Args:
        values_W: variances, descending.
        n_items: number of items from which they were estimated.
    """
    shares = np.cumsum(values_W) / values_W.sum()
    enough = int(np.searchsorted(shares, SHARE)) + 1
    return min(enough, max(n_items // ITEMS_PER_DIMENSION, FEWEST), MOST, len(values_W))


def saved_maps(tensors: Mapping[str, Tensor]) -> dict[str, FeatureMap]:
    """Return the maps that a trained network was saved with, by name of the modality.

    Args:
        tensors: the network's saved weights.
    """
    prefix, suffix, found = "items.modalities.", ".basis", {}
    for name, basis in tensors.items():
        mean = tensors.get(f"{name.removesuffix(suffix)}.mean")
        if name.startswith(prefix) and name.endswith(suffix) and mean is not None:
            modality = name.removeprefix(prefix).removesuffix(suffix)
            found[modality] = FeatureMap(mean.cpu().numpy(), basis.cpu().numpy())
    return found


def _scaling(known: np.ndarray, width: int) -> FeatureMap:
    if not len(known):
        return FeatureMap(np.zeros(width, np.float32), np.ones(1, np.float32))
    known = known.astype(np.float32)
    scale = np.float32(1 / max(float(known.std(0).mean()), 1e-6))
    return FeatureMap(known.mean(0), np.asarray([scale], np.float32), None, len(known))


def _with_fixed_signs(axes_WC: np.ndarray) -> np.ndarray:
    """Return each axis with its largest entry positive."""
    largest = np.take_along_axis(axes_WC, np.abs(axes_WC).argmax(0)[None], 0)
    return axes_WC * np.where(largest < 0, -1, 1)
