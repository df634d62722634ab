"""Quality of generated samples: fidelity, variety and copying."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import torch
from torch import Tensor

from crossrec.types import InputError

NEIGHBOURS = 5


@dataclass(frozen=True)
class Manifold:
    """Overlap of two sets of vectors, each described by balls around its vectors.

    A ball reaches to its vector's k-th nearest neighbour in the same set.

    Args:
        precision: share of samples in some ball of the real vectors.
        recall: share of real vectors in some ball of the samples.
        density: mean number of real balls that a sample is in, divided by k; about 1 for real vectors, and
            not bounded by it.
        coverage: share of real vectors whose ball holds a sample; 1 - 2^-k is expected of as many other
            real vectors. In many dimensions samples near the mean lie in a great many balls, so coverage
            means little where density is far above 1 or recall near 0.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Quality:
    """Quality figures of a generator's samples.

    Args:
        train: overlap with the training vectors.
        held_back: overlap with held-out real vectors; None if there are too few.
        copy_ratio: median distance of samples to the nearest training vector, divided by the same of
            held-back vectors: about 1 for real ones, far below 1 for copies. None without held-back vectors.
        copied_share: share of samples nearer to a training vector than 99 % of held-back vectors are; .01 for
            real ones. None without held-back vectors.
        spread: mean distance between two samples, divided by that between two training vectors.
        spread_within: the same between samples of one class, mean over classes; None where no class has two.
        n_samples, n_train, n_held_back: how many vectors were compared.
    """

    train: Manifold
    held_back: Manifold | None
    copy_ratio: float | None
    copied_share: float | None
    spread: float
    spread_within: float | None
    n_samples: int
    n_train: int
    n_held_back: int

    def row(self) -> dict[str, float | None]:
        """Return all figures in one mapping; those against held-back vectors begin with ``held_back_``."""
        flat: dict[str, float | None] = {**asdict(self.train)}
        if self.held_back is not None:
            flat |= {f"held_back_{name}": value for name, value in asdict(self.held_back).items()}
        rest = (
            "copy_ratio",
            "copied_share",
            "spread",
            "spread_within",
            "n_samples",
            "n_train",
            "n_held_back",
        )
        return flat | {name: getattr(self, name) for name in rest}


def manifold(real_nW: np.ndarray | Tensor, fake_mW: np.ndarray | Tensor, k: int = NEIGHBOURS) -> Manifold:
    """Compare samples with real vectors.

    Source: precision and recall, Kynkäänniemi et al. 2019, eq. 2; density and coverage, Naeem et al. 2020,
    eqs. 3 and 4. A vector is never its own neighbour.

    Args:
        real_nW: (n, W) real vectors.
        fake_mW: (m, W) samples.
        k: neighbours; n and m are greater.

    Raises:
        InputError: if there are too few vectors for k neighbors.
    """
    real, fake = _tensor(real_nW), _tensor(fake_mW)
    if min(len(real), len(fake)) <= k:
        raise InputError(
            f"{len(real)} real vectors and {len(fake)} samples are too few to compare by {k} neighbours"
        )
    real_radii_n, fake_radii_m = neighbour_radii(real, k), neighbour_radii(fake, k)
    balls_m = torch.zeros(len(fake), dtype=torch.long)
    recalled = covered = 0
    for part, distance_bm in blocks(real, fake):
        inside_bm = distance_bm <= real_radii_n[part, None]
        balls_m += inside_bm.sum(0)
        covered += int(inside_bm.any(1).sum())
        recalled += int((distance_bm <= fake_radii_m).any(1).sum())
    return Manifold(
        precision=float((balls_m > 0).float().mean()),
        recall=recalled / len(real),
        density=float(balls_m.double().mean()) / k,
        coverage=covered / len(real),
    )


def measure(
    samples: np.ndarray | Tensor,
    sample_classes: np.ndarray,
    train: np.ndarray | Tensor,
    train_classes: np.ndarray,
    held_back: np.ndarray | Tensor | None = None,
    k: int = NEIGHBOURS,
) -> Quality:
    """Return all figures of samples; pictures are compared by an encoder's vectors.

    Args:
        samples: (n, W) generated for the training vectors' classes.
        sample_classes: (n, G).
        train: (m, W) what was learned from.
        train_classes: (m, G).
        held_back: (h, W) real vectors that were not learned from.
        k: neighbours.
    """
    fake, real = _tensor(samples), _tensor(train)
    other = None if held_back is None or len(held_back) <= k else _tensor(held_back)
    ratio, share = (None, None) if other is None else copying(fake, real, other)
    return Quality(
        train=manifold(real, fake, k),
        held_back=None if other is None else manifold(other, _as_many(fake, len(other)), k),
        copy_ratio=ratio,
        copied_share=share,
        spread=_ratio(mean_distance(fake), mean_distance(real)),
        spread_within=_spread_within(fake, sample_classes, real, train_classes),
        n_samples=len(fake),
        n_train=len(real),
        n_held_back=0 if other is None else len(other),
    )


def mean_quality(found: Sequence[Quality]) -> Quality:
    """Return the mean of every figure over several draws of one generator."""
    first = found[0]
    held_back = [quality.held_back for quality in found if quality.held_back is not None]
    flat = {f.name: getattr(first, f.name) for f in fields(first)}
    for name in ("copy_ratio", "copied_share", "spread", "spread_within"):
        if flat[name] is not None:
            flat[name] = float(np.mean([getattr(quality, name) for quality in found]))
    flat["train"] = _mean_manifold([quality.train for quality in found])
    flat["held_back"] = _mean_manifold(held_back) if held_back else None
    return Quality(**flat)


def _mean_manifold(found: Sequence[Manifold]) -> Manifold:
    return Manifold(**{f.name: float(np.mean([getattr(m, f.name) for m in found])) for f in fields(Manifold)})


def copying(fake_nW: Tensor, train_mW: Tensor, held_back_hW: Tensor) -> tuple[float, float]:
    """Return ``copy_ratio`` and ``copied_share`` of :class:`Quality`."""
    fake_n, real_h = nearest_distances(fake_nW, train_mW), nearest_distances(held_back_hW, train_mW)
    near = float(real_h.quantile(0.01))
    return _ratio(float(fake_n.median()), float(real_h.median())), float((fake_n < near).float().mean())


def _spread_within(
    fake: Tensor, fake_classes: np.ndarray, real: Tensor, real_classes: np.ndarray
) -> float | None:
    ratios = []
    kinds, counts = np.unique(real_classes, axis=0, return_counts=True)
    for kind in kinds[counts > 1]:
        of_fake, of_real = ((classes == kind).all(1) for classes in (fake_classes, real_classes))
        if of_fake.sum() > 1 and of_real.sum() > 1:
            pair = (
                mean_distance(vectors[torch.from_numpy(rows)])
                for vectors, rows in ((fake, of_fake), (real, of_real))
            )
            ratios.append(_ratio(*pair))
    return float(np.mean(ratios)) if ratios else None


def _as_many(fake: Tensor, n: int) -> Tensor:
    """Return n evenly chosen samples, as many as real vectors, on which density and coverage depend."""
    return fake if len(fake) <= n else fake[torch.linspace(0, len(fake) - 1, n).long()]


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference > 0 else float("inf") if value > 0 else 1.0


def _tensor(vectors: np.ndarray | Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(vectors), dtype=torch.float32).flatten(1)


BLOCK = 1024
"""Number of rows whose distances to all others are in memory at once."""


def blocks(rows_nW: Tensor, others_mW: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of the rows with their (b, m) Euclidean distances to all others."""
    for start in range(0, len(rows_nW), BLOCK):
        part = slice(start, min(start + BLOCK, len(rows_nW)))
        # The matrix form loses digits where vectors nearly coincide, which is where copies show.
        yield part, torch.cdist(rows_nW[part], others_mW, compute_mode="donot_use_mm_for_euclid_dist")


def neighbour_radii(vectors_nW: Tensor, k: int) -> Tensor:
    """Return (n,) distance of each vector to its k-th nearest among the others."""
    radii_n = vectors_nW.new_empty(len(vectors_nW))
    for part, distance_bn in blocks(vectors_nW, vectors_nW):
        rows = torch.arange(part.start, part.stop)
        distance_bn[torch.arange(len(rows)), rows] = torch.inf
        radii_n[part] = distance_bn.kthvalue(k, dim=1).values
    return radii_n


def nearest_distances(vectors_nW: Tensor, reference_mW: Tensor) -> Tensor:
    """Return (n,) distance of each vector to the nearest of a reference."""
    found_n = vectors_nW.new_empty(len(vectors_nW))
    for part, distance_bm in blocks(vectors_nW, reference_mW):
        found_n[part] = distance_bm.amin(1)
    return found_n


def mean_distance(vectors_nW: Tensor) -> float:
    """Return the mean Euclidean distance between two different vectors; 0 for fewer than two."""
    n = len(vectors_nW)
    if n < 2:
        return 0.0
    total = sum(float(distance.double().sum()) for _, distance in blocks(vectors_nW, vectors_nW))
    return total / (n * (n - 1))
