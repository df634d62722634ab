"""Augmented views of texts: a chain of augmenters, run once for each view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from crossrec.augment.base import Augmented, name_of
from crossrec.augment.chain import Chain, Link
from crossrec.augment.views import view_draws

if TYPE_CHECKING:
    from crossrec.augment.text.config import Encode, TextViewsConfig


class TextViews:
    """Makes the views of texts.

    Args:
        config: augmenters, applied in their order; one from outside the project that has no ``probability``
            meets every text.
        cache_dir: folder for paraphrases and converted weights.
        encode: texts to vectors; only paraphrases need it.

    Raises:
        InputError: what an augmenter needs is not there.
    """

    def __init__(self, config: TextViewsConfig, cache_dir: Path, encode: Encode | None = None) -> None:
        self.count = config.views
        self._chain = Chain(
            [
                Link(name_of(c), c.build(cache_dir, encode), getattr(c, "probability", 1.0))
                for c in config.augmenters
            ]
        )

    def view(self, texts: list[str], keys: list[str], seed: int, view: int) -> Augmented[list[str]]:
        """One view of each text. Every process must call this where paraphrases are made.

        Args:
            texts: n texts of training items.
            keys: n digests of their content.
            seed: of the experiment.
            view: its number, from 0.

        Returns:
            n texts, ``changed`` where one differs from the given one, with counts of what each augmenter met.
        """
        made = self._chain.augment(texts, view_draws(seed, view, keys).substream("text"))
        # One augmenter may undo what another did.
        differs = [new != old for new, old in zip(made.samples, texts, strict=True)]
        return Augmented(made.samples, np.asarray(differs, dtype=bool), made.counts)
