"""What all augmenters share: samples of the training part in, as many samples out, told apart from them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from crossrec.config import Config

Samples = TypeVar("Samples")


@dataclass(frozen=True)
class Draws:
    """Random numbers that belong to samples, not to the order or process in which they are worked on.

    Args:
        seed: of the experiment.
        stream: what tells apart draws of one sample: the augmenter's place in its chain, the view, the epoch.
        keys: one a sample, such as the item's id or a digest of its content; a user's row for sequences.
    """

    seed: int
    stream: tuple[str | int, ...]
    keys: Sequence[str | int]

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[np.random.Generator]:
        return (self.of(row) for row in range(len(self)))

    def of(self, row: int) -> np.random.Generator:
        """The generator of one sample."""
        return _generator(self.seed, *self.stream, "sample", self.keys[row])

    def shared(self) -> np.random.Generator:
        """One generator for all samples, for work on whole arrays; depends on seed and stream alone."""
        return _generator(self.seed, *self.stream, "all")

    def substream(self, *names: str | int) -> Draws:
        """Other draws for the same samples."""
        return Draws(self.seed, (*self.stream, *names), self.keys)

    def take(self, rows: np.ndarray) -> Draws:
        """The draws of some of the samples."""
        return Draws(self.seed, self.stream, [self.keys[int(row)] for row in rows])


@dataclass(frozen=True)
class Augmented(Generic[Samples]):
    """What an augmenter made.

    Args:
        samples: one for each sample given, in their order.
        changed: (n,) bool, marks those that are augmented; the others came back as they were.
        counts: how many samples met with what: "kept", or the reason why one came back as it was.
    """

    samples: Samples
    changed: np.ndarray
    counts: dict[str, int] = field(default_factory=dict)


class Augmenter(ABC, Generic[Samples]):
    """Makes one more sample of each: a list of texts, a list of pictures, or many users' clicks."""

    @abstractmethod
    def augment(self, samples: Samples, draws: Draws) -> Augmented[Samples]:
        """Augments all samples; one that nothing can be made of comes back unchanged, and is counted.

        The same samples and draws give the same result in any order, in any split over processes.
        """


def name_of(config: Config) -> str:
    """What an augmenter is counted by: its configuration's type, or the class of one that has no type."""
    return str(getattr(config, "type", type(config).__name__))


def _generator(*parts: str | int) -> np.random.Generator:
    digest = hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))
