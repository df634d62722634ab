"""Composition: augmenters one after another, each taken by chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from crossrec.augment.base import Augmented, Augmenter, Draws

Sample = TypeVar("Sample")

NOT_DRAWN = "not_drawn"
"""Counts samples whose coin let them pass an augmenter by."""


@dataclass(frozen=True)
class Link(Generic[Sample]):
    """One augmenter of a chain.

    Args:
        name: for counts.
        augmenter: of lists of samples.
        probability: chance that a sample goes through it.
    """

    name: str
    augmenter: Augmenter[list[Sample]]
    probability: float = 1.0


class Chain(Augmenter[list[Sample]]):
    """Augmenters of texts or pictures one after another; each sees what those before it made.

    Counts come back as ``name/reason``, with its place behind the name where one stands in the chain twice. A
    chain is an augmenter, so that chains may stand in chains.

    Args:
        links: in their order.
    """

    def __init__(self, links: Sequence[Link[Sample]]) -> None:
        self.links = tuple(links)
        times = Counter(link.name for link in self.links)
        self._names = [
            link.name if times[link.name] == 1 else f"{link.name}.{place}"
            for place, link in enumerate(self.links)
        ]

    def augment(self, samples: list[Sample], draws: Draws) -> Augmented[list[Sample]]:
        """Augments all samples; the coins of a sample hang on its own draws and the link's place."""
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


def _chosen(draws: Draws, probability: float) -> np.ndarray:
    """Rows whose coin falls for the link."""
    if probability >= 1:
        return np.arange(len(draws))
    coins = draws.substream("coin")
    return np.array(
        [row for row in range(len(draws)) if coins.of(row).random() < probability], dtype=np.int64
    )
