"""A Gaussian fit for each class: the baseline that a trained generator must beat."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crossrec.augment.synthesis.base import Sampler
from crossrec.augment.synthesis.config import GaussianConfig
from crossrec.types import InputError

SHARED = 0
"""Row of the mean and root that all other classes share."""


class GaussianSampler(Sampler):
    """Means and roots of covariances, one for each combination of classes that has enough samples.

    Args:
        width: W, of a vector.
        n_kinds: K, combinations of classes, the shared one included.
        n_classes: G, width of the class vectors.
    """

    kinds: Tensor
    means: Tensor
    roots: Tensor

    def __init__(self, width: int, n_kinds: int, n_classes: int) -> None:
        super().__init__(width, n_classes)
        self.register_buffer("kinds", torch.zeros(n_kinds, n_classes))
        self.register_buffer("means", torch.zeros(n_kinds, width))
        self.register_buffer("roots", torch.zeros(n_kinds, width, width))

    def forward(self, noise_BZ: Tensor, classes_BG: Tensor) -> Tensor:
        """(B, W)."""
        same_BK = (classes_BG[:, None] == self.kinds[SHARED + 1 :]).all(2)
        kind_B = torch.where(same_BK.any(1), same_BK.float().argmax(1) + 1 if same_BK.shape[1] else 0, SHARED)
        samples_BW = self.means[kind_B]
        for kind in kind_B.unique().tolist():
            rows = kind_B == kind
            samples_BW[rows] += noise_BZ[rows] @ self.roots[kind].T
        return samples_BW


def fit_gaussian(config: GaussianConfig, samples_NW: np.ndarray, classes_NG: np.ndarray) -> GaussianSampler:
    """Fits means and full covariances.

    Args:
        config: which classes have a fit of their own.
        samples_NW: (n, W) training vectors.
        classes_NG: (n, G) their classes; equal rows make one kind.

    Raises:
        InputError: fewer than two samples.
    """
    if len(samples_NW) < 2:
        raise InputError(f"a Gaussian needs at least two samples; there are {len(samples_NW)}")
    kinds, member_N, counts = np.unique(classes_NG, axis=0, return_inverse=True, return_counts=True)
    own = np.flatnonzero(counts >= config.min_samples)
    sampler = GaussianSampler(samples_NW.shape[1], len(own) + 1, classes_NG.shape[1])
    rows = [np.arange(len(samples_NW)), *(np.flatnonzero(member_N.ravel() == kind) for kind in own)]
    for place, members in enumerate(rows):
        mean_W, root_WW = _moments(np.asarray(samples_NW[members], np.float64), config.shrinkage)
        sampler.means[place] = torch.from_numpy(mean_W)
        sampler.roots[place] = torch.from_numpy(root_WW)
    sampler.kinds[SHARED + 1 :] = torch.from_numpy(np.asarray(kinds[own], np.float32))
    return sampler


def _moments(samples_NW: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and a root of the covariance."""
    covariance = np.atleast_2d(np.cov(samples_NW, rowvar=False))
    even = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * even)
    return samples_NW.mean(0), axes * np.sqrt(np.maximum(values, 0))
