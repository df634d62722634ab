"""Gaussian fit per class: the baseline that a trained generator must beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossrec.augment.generators.base import Sampler
from crossrec.config import Component, ComponentOptions
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


class Gaussian(Component):
    """A Gaussian for each combination of classes with enough samples; the others share one. Fitted at once.

    Args:
        options: options of the fit.
        samples_NW: (n, W) training vectors.
        classes_NG: (n, G) their classes; equal rows make one kind.
        seed: unused.

    Raises:
        InputError: if there are fewer than two samples.

    Attributes:
        sampler: the fitted sampler.
    """

    class Options(ComponentOptions):
        """A Gaussian with full covariance for each class that has enough samples; the baseline of the others.

        Args:
            min_samples: minimum size of a class with its own mean and covariance; the others share one.
            shrinkage: share of the covariance that is replaced by its mean variance times the identity.
        """

        min_samples: int = Field(50, ge=2)
        shrinkage: float = Field(1e-3, ge=0, le=1)

    def __init__(self, options: Options, samples_NW: Tensor, classes_NG: Tensor, seed: int) -> None:
        samples, classes = np.asarray(samples_NW), np.asarray(classes_NG)
        if len(samples) < 2:
            raise InputError(f"a Gaussian needs at least two samples; there are {len(samples)}")
        kinds, member_N, counts = np.unique(classes, axis=0, return_inverse=True, return_counts=True)
        own = np.flatnonzero(counts >= options.min_samples)
        self.sampler = GaussianSampler(samples.shape[1], len(own) + 1, classes.shape[1])
        rows = [np.arange(len(samples)), *(np.flatnonzero(member_N.ravel() == kind) for kind in own)]
        for place, members in enumerate(rows):
            mean_W, root_WW = _moments(np.asarray(samples[members], np.float64), options.shrinkage)
            self.sampler.means[place] = torch.from_numpy(mean_W)
            self.sampler.roots[place] = torch.from_numpy(root_WW)
        self.sampler.kinds[SHARED + 1 :] = torch.from_numpy(np.asarray(kinds[own], np.float32))

    @staticmethod
    def empty_sampler(options: Options, n_classes: int, shapes: Mapping[str, list[int]]) -> Sampler:
        """Return a sampler with the shapes of a saved one, to load weights into."""
        n_kinds, width = shapes["means"]
        return GaussianSampler(width, n_kinds, n_classes)


def _moments(samples_NW: np.ndarray, shrinkage: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean, and a root of the covariance."""
    covariance = np.atleast_2d(np.cov(samples_NW, rowvar=False))
    even = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * even)
    return samples_NW.mean(0), axes * np.sqrt(np.maximum(values, 0))
