"""Base of all augmenters: per-sample random numbers, composition and schedule."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

import numpy as np
from pydantic import Field, model_validator

from crossrec.config import Component, Config, Family

Samples = TypeVar("Samples")
Sample = TypeVar("Sample")


@dataclass(frozen=True)
class SampleRng:
    """Random numbers of samples, independent of the order and process in which they are handled.

    Args:
        seed: seed of the experiment.
        stream: names of the draws of one sample: the augmenter's position in its chain, the variant, the
            epoch.
        keys: one per sample, such as the item's id or a digest of its content; a user's row for sequences.
    """

    seed: int
    stream: tuple[str | int, ...]
    keys: Sequence[str | int]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[np.random.Generator]:
        return (self.of(row) for row in range(len(self)))

    def of(self, row: int) -> np.random.Generator:
        """Return the generator of one sample."""
        return _generator(self.seed, *self.stream, "sample", self.keys[row])

    def shared(self) -> np.random.Generator:
        """Return one generator for all samples, for array operations; it depends on seed and stream alone."""
        return _generator(self.seed, *self.stream, "all")

    def substream(self, *names: str | int) -> SampleRng:
        """Return other random numbers for the same samples."""
        return SampleRng(self.seed, (*self.stream, *names), self.keys)

    def take(self, rows: np.ndarray) -> SampleRng:
        """Return the random numbers of some of the samples."""
        return SampleRng(self.seed, self.stream, [self.keys[int(row)] for row in rows])


@dataclass(frozen=True)
class Augmented(Generic[Samples]):
    """Result of an augmenter.

    Args:
        samples: one for each sample given, in their order.
        changed: (n,) bool, marks those that are augmented; the others are unchanged.
        counts: number of samples per outcome: "kept", or the reason why one is unchanged.
    """

    samples: Samples
    changed: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)


class Augmenter(Component, ABC, Generic[Samples]):
    """Base of augmenters of lists of texts, lists of pictures, or click sequences."""

    @abstractmethod
    def augment(self, samples: Samples, draws: SampleRng) -> Augmented[Samples]:
        """Augment all samples; those that can't be changed are returned unchanged and counted.

        The same samples and draws give the same result in any order, in any split over processes.
        """


def _generator(*parts: str | int) -> np.random.Generator:
    digest = hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))


NOT_DRAWN = "not_drawn"
"""Counts samples that were not drawn for an augmenter."""


@dataclass(frozen=True)
class RandomApply(Generic[Sample]):
    """An augmenter that each sample passes through with some probability.

    Args:
        name: name in counts.
        augmenter: augmenter of lists of samples.
        probability: probability that a sample is augmented.
    """

    name: str
    augmenter: Augmenter[list[Sample]]
    probability: float = 1.0


class Compose(Augmenter[list[Sample]]):
    """Sequential composition of augmenters; each sees the output of those before it.

    Counts are named ``name/reason``, with the position after a repeated name. A chain is an augmenter, so
    chains may be nested.

    Args:
        links: augmenters in order.
    """

    def __init__(self, links: Sequence[RandomApply[Sample]]) -> None:
        self.links = tuple(links)
        times = Counter(link.name for link in self.links)
        self._names = [
            link.name if times[link.name] == 1 else f"{link.name}.{place}"
            for place, link in enumerate(self.links)
        ]

    def augment(self, samples: list[Sample], draws: SampleRng) -> Augmented[list[Sample]]:
        """Augment all samples; the selection of a sample depends on its own random numbers and the step."""
        current = list(samples)
        changed = np.zeros(len(samples), dtype=bool)
        counts: Counter[str] = Counter()
        for place, link in enumerate(self.links):
            own = draws.substream("link", place)
            rows = _chosen(own, link.probability)
            if len(rows) < len(samples):
                counts[f"{self._names[place]}/{NOT_DRAWN}"] += len(samples) - len(rows)
            found = link.augmenter.augment([current[row] for row in rows], own.take(rows))
            for row, sample in zip(rows, found.samples, strict=True):
                current[row] = sample
            changed[rows] |= found.changed
            counts.update({f"{self._names[place]}/{key}": count for key, count in found.counts.items()})
        return Augmented(current, changed, dict(counts))


def _chosen(draws: SampleRng, probability: float) -> np.ndarray:
    """Return the rows drawn for an augmenter."""
    if probability >= 1:
        return np.arange(len(draws))
    coins = draws.substream("coin")
    return np.array(
        [row for row in range(len(draws)) if coins.of(row).random() < probability], dtype=np.int64
    )


class Schedule(Config):
    """Window of the training with a linear ramp at its start; always on by default."""

    start: float = Field(0.0, ge=0, le=1, description="share of the training after which it begins")
    stop: float = Field(1.0, ge=0, le=1, description="share of the training after which it is off")
    ramp: float = Field(0.0, ge=0, le=1, description="share of the training over which it rises")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f"stop ({self.stop:g}) must be greater than start ({self.start:g})")
        if self.start + self.ramp > self.stop:
            raise ValueError("start + ramp must not exceed stop: the full strength would never be reached")
        return self

    def at(self, progress: float) -> float:
        """Return the strength of the augmentation, a factor on its share or number.

        Args:
            progress: finished share of the training, 0 to 1.

        Returns:
            In [0, 1]; 0 outside [start, stop), rising linearly to 1 over the ramp. A ``stop`` of 1 includes
            the end of the training.
        """
        if progress < self.start or (progress >= self.stop and self.stop < 1):
            return 0.0
        return 1.0 if self.ramp == 0 else min(1.0, (progress - self.start) / self.ramp)


def digest(*parts: str | int) -> str:
    """Return a short hash of strings and numbers."""
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def count_name(family: Family, options: Config) -> str:
    """Return an augmenter's name in counts: its ``type``, without the module of an outside class."""
    return family.name_of(options).rpartition(":")[2]
