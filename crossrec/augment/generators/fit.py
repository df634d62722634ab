"""Fit of a generator: hold samples back, train, measure quality, detect failures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from crossrec.augment.base import count_name
from crossrec.augment.generators import GENERATORS
from crossrec.augment.generators.base import GeneratorTrainer, Sampler
from crossrec.augment.generators.collapse import SynthesisWarning, find_failures
from crossrec.augment.generators.loop import SCORE, LoopOutcome, train_generator
from crossrec.augment.generators.quality import NEIGHBOURS, Quality, copying, manifold, mean_quality, measure
from crossrec.augment.generators.store import Generator
from crossrec.types import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class LabeledSamples:
    """Samples with their classes.

    Args:
        samples: (n, …) float32.
        classes: (n, G) float32 multi-hot.
        class_names: G names.
    """

    samples: np.ndarray
    classes: np.ndarray
    class_names: tuple[str, ...]


Encode = Callable[[np.ndarray], np.ndarray]
"""Samples to the (n, D) vectors in which they are compared."""

LEAST_HELD_BACK = 4 * NEIGHBOURS
QUALITY_SEED, CHECK_SEED = 1_000_003, 1_000_033
VECTOR_DRAWS = 5
"""How often vectors are drawn and measured: one draw's coverage may be off by .02."""

MOST_COMPARED = 5_000
"""Of more samples, so many are compared with each other, since that takes time as their square."""


@dataclass(frozen=True)
class TrainingSamples:
    """Samples of the training split, divided into training and held-back samples.

    Args:
        samples: (n, …) float32.
        classes: (n, G) float32.
        learned: (n,) bool, the others are held back.
    """

    samples: np.ndarray
    classes: np.ndarray
    learned: np.ndarray

    @classmethod
    def divide(cls, samples: np.ndarray, classes: np.ndarray, held_back: float, seed: int) -> TrainingSamples:
        """Hold back a random part.

        Args:
            samples: (n, …).
            classes: (n, G).
            held_back: share; nothing is held back where that is too few to compare with.
            seed: seed of the choice.

        Raises:
            InputError: if samples and classes don't match, there are none, or some are not finite.
        """
        if len(samples) != len(classes) or not len(samples):
            raise InputError(
                f"{len(samples)} samples and {len(classes)} class vectors; both need one row each"
            )
        if not np.isfinite(samples).all():
            bad = np.flatnonzero(~np.isfinite(samples.reshape(len(samples), -1)).all(1))
            raise InputError(
                f"{len(bad)} samples hold numbers that are not finite, the first is row {bad[0]}"
            )
        learned = np.ones(len(samples), dtype=bool)
        n = round(held_back * len(samples))
        if n >= LEAST_HELD_BACK:
            learned[np.random.default_rng([seed, QUALITY_SEED]).permutation(len(samples))[:n]] = False
        return cls(np.asarray(samples, np.float32), np.asarray(classes, np.float32), learned)

    def compared(self) -> tuple[np.ndarray, np.ndarray]:
        """Return training rows and held-back rows, at most ``MOST_COMPARED`` of each, evenly chosen."""
        learned, held_back = (np.flatnonzero(rows) for rows in (self.learned, ~self.learned))
        return _evenly(learned), _evenly(held_back)


@dataclass(frozen=True)
class Fitted:
    """A fitted generator with its quality.

    Args:
        generator: trained.
        quality: quality of its samples for the training samples' classes.
        warnings: failures that were found; empty where all is well.
        report: figures of this kind of generator alone, such as KL terms.
        outcome: outcome of the training; None for a Gaussian fit.
    """

    generator: Generator
    quality: Quality
    warnings: tuple[SynthesisWarning, ...]
    report: dict[str, float | list[float]]
    outcome: LoopOutcome | None


def fit_generator(
    options: Any,
    data: TrainingSamples,
    *,
    seed: int,
    folder: Path,
    accelerator: Accelerator,
    class_names: Sequence[str] = (),
    encode: Encode | None = None,
) -> Fitted:
    """Train a generator, resuming an interrupted training, and measure its samples.

    Args:
        options: options of a member of :data:`GENERATORS`.
        data: samples of the training split alone.
        seed: seed of weights, batches and noise.
        folder: gets the generator, its state and its log.
        accelerator: accelerator of this process.
        class_names: G names.
        encode: maps samples to the vectors in which they are compared; pictures need it.
    """
    encode = encode or _flat
    sampler, outcome, report = _train(options, data, seed, folder, accelerator, encode)
    generator = Generator(options, sampler.cpu(), tuple(class_names))
    generator.save(folder)
    quality = measure_sampler(sampler, data, encode, VECTOR_DRAWS if encode is _flat else 1)
    warnings = find_failures(quality, outcome.log if outcome else (), report)
    return Fitted(generator, quality, warnings, report, outcome)


def measure_sampler(
    sampler: Sampler, data: TrainingSamples, encode: Encode | None = None, draws: int = 1
) -> Quality:
    """Return the quality of one sample per training sample's classes, averaged over some draws."""
    encode = encode or _flat
    rows, others = data.compared()
    classes, train = data.classes[rows], encode(data.samples[rows])
    held_back = encode(data.samples[others]) if len(others) else None
    found = []
    for draw in range(draws):
        fake = sampler.draw(torch.from_numpy(classes), QUALITY_SEED + draw).numpy()
        found.append(measure(encode(fake), classes, train, classes, held_back))
    return mean_quality(found)


def _train(
    options: Any,
    data: TrainingSamples,
    seed: int,
    folder: Path,
    accelerator: Accelerator,
    encode: Encode,
) -> tuple[Sampler, LoopOutcome | None, dict[str, float | list[float]]]:
    samples, classes = data.samples[data.learned], data.classes[data.learned]
    tensors = torch.from_numpy(samples), torch.from_numpy(classes)
    learner = options.build(*tensors, seed)
    if not isinstance(learner, GeneratorTrainer):
        return learner.sampler, None, {}
    outcome = train_generator(
        learner,
        *tensors,
        options.loop,
        seed=seed,
        folder=folder,
        accelerator=accelerator,
        check=_check(data, encode),
        description=count_name(GENERATORS, options),
    )
    return learner.sampler, outcome, learner.report(*tensors)


def _check(data: TrainingSamples, encode: Encode) -> Callable[[Sampler], dict[str, float]] | None:
    """Return a score of samplers: overlap with the training samples, lowered by copying."""
    if data.learned.all():
        return None
    learned, held_back = data.compared()
    real, other = (torch.from_numpy(encode(data.samples[rows])) for rows in (learned, held_back))
    classes = torch.from_numpy(data.classes[learned])

    def check(sampler: Sampler) -> dict[str, float]:
        fake = torch.from_numpy(encode(sampler.draw(classes, CHECK_SEED).numpy()))
        found = manifold(real, fake)
        ratio, _ = copying(fake, real, other)
        # Density beyond 1 is no gain but a lesser fault: samples then crowd where real ones are dense.
        overlap = found.coverage + min(found.density, max(found.density, 1.0) ** -0.5)
        return {SCORE: overlap * min(ratio, 1.0), **asdict(found), "copy_ratio": ratio}

    return check


def _evenly(rows: np.ndarray) -> np.ndarray:
    if len(rows) <= MOST_COMPARED:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_COMPARED).astype(np.int64)]


def _flat(samples: np.ndarray) -> np.ndarray:
    return samples.reshape(len(samples), -1)


def held_back_share(*options: Any) -> float:
    """Return the largest held-back share among generators; 0 for those without a training loop."""
    return max((one.loop.held_back for one in options if hasattr(one, "loop")), default=0.0)
