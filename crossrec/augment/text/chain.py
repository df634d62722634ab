"""Views of texts: every view goes once through a chain of augmenters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from crossrec.augment.base import Augmented, Augmenter, Draws
from crossrec.augment.text.outcome import Outcome


class TextViews:
    """A chain of text augmenters, each met with its own probability.

    Args:
        names: of the augmenters, for the counts.
        augmenters: in the order in which they work.
        probabilities: chance that a text meets each augmenter.
        n_views: views of each text.
    """

    def __init__(
        self,
        names: Sequence[str],
        augmenters: Sequence[Augmenter[list[str]]],
        probabilities: Sequence[float],
        n_views: int,
    ) -> None:
        self.names, self.augmenters, self.n_views = tuple(names), tuple(augmenters), n_views
        self.probabilities = tuple(probabilities)

    def views(self, texts: list[str], keys: Sequence[str | int], seed: int) -> list[Augmented[list[str]]]:
        """Makes all views of all texts. Every process must call this where paraphrases are made.

        Args:
            texts: n texts of training items.
            keys: one a text, such as a digest of its content; equal keys draw equally.
            seed: of the experiment.

        Returns:
            One :class:`Augmented` a view, n texts each; ``changed`` where a text differs from the given one;
            ``counts`` as ``synonyms/kept``, with its place where an augmenter stands in the chain twice.
        """
        return [self._view(texts, Draws(seed, ("text", view), keys)) for view in range(self.n_views)]

    def _view(self, texts: list[str], draws: Draws) -> Augmented[list[str]]:
        current, counts = list(texts), Counter[str]()
        for place, augmenter in enumerate(self.augmenters):
            own = draws.substream(place)
            drawn = [g.random() < self.probabilities[place] for g in own.substream("apply")]
            rows = np.flatnonzero(drawn)
            made = augmenter.augment([current[row] for row in rows], own.take(rows))
            for row, text in zip(rows, made.samples, strict=True):
                current[row] = text
            name = self._name(place)
            counts.update({f"{name}/{key}": count for key, count in made.counts.items()})
            counts[f"{name}/{Outcome.NOT_DRAWN}"] += len(texts) - len(rows)
        changed = np.asarray([new != old for new, old in zip(current, texts, strict=True)], dtype=bool)
        return Augmented(current, changed, {key: count for key, count in sorted(counts.items()) if count})

    def _name(self, place: int) -> str:
        name = self.names[place]
        return name if self.names.count(name) == 1 else f"{name}.{place}"
