"""Base of text augmenters, with their options and outcomes."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from pydantic import Field

from crossrec.augment.base import Augmented, Augmenter, SampleRng
from crossrec.config import ComponentOptions

Encode = Callable[[list[str]], np.ndarray]
"""Function from texts to (n, D) vectors, such as the ``encode`` of a text encoder."""


class TextOptions(ComponentOptions):
    """Options of every text augmenter."""

    probability: float = Field(default=1.0, ge=0, le=1, description="probability that a text is augmented")


class TextOutcome(StrEnum):
    """Outcome of augmenting a text: ``kept``, or the reason why it is unchanged."""

    KEPT = "kept"
    EMPTY = "empty"
    UNCHANGED = "unchanged"
    NOTHING_TO_CHANGE = "nothing_to_change"
    NO_SYNONYM = "no_synonym"
    NO_CHINESE_THESAURUS = "no_chinese_thesaurus"
    TOO_FEW_PARTS = "too_few_parts"
    NO_RULE = "no_rule"
    NO_SENTENCE = "no_sentence"
    ALL_DROPPED = "all_dropped"


class TextAugmenter(Augmenter[list[str]]):
    """Base of augmenters that change texts one by one, each with its own generator."""

    def augment(self, samples: list[str], draws: SampleRng) -> Augmented[list[str]]:
        """Augment all texts; see :class:`Augmenter`."""
        made = [self._attempt(text, generator) for text, generator in zip(samples, draws, strict=True)]
        return collect(samples, made)

    def _attempt(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        return self.rewrite(text, generator) if text.strip() else TextOutcome.EMPTY

    @abstractmethod
    def rewrite(self, text: str, generator: np.random.Generator) -> str | TextOutcome:
        """Return a changed text for one that is not blank, or the reason why there is none."""


def collect(samples: list[str], made: list[str | TextOutcome]) -> Augmented[list[str]]:
    """Collect the results of all texts, with counts."""
    outcomes: list[TextOutcome] = []
    texts: list[str] = []
    for old, new in zip(samples, made, strict=True):
        if isinstance(new, TextOutcome):
            outcomes.append(new)
            texts.append(old)
        else:
            outcomes.append(TextOutcome.UNCHANGED if new == old else TextOutcome.KEPT)
            texts.append(new)
    changed = np.asarray([outcome is TextOutcome.KEPT for outcome in outcomes], dtype=bool)
    return Augmented(texts, changed, {str(key): count for key, count in Counter(outcomes).items()})
