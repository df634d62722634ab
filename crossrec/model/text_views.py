"""Views of a catalogue's texts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import FeatureCache, content_key
from crossrec.encoders.text import TextEncoder
from crossrec.model.view_plan import TrainingViews, report
from crossrec.model.views import ViewChoice, ViewedEncoder, ViewedFeatures, ViewVectors

if TYPE_CHECKING:
    from pathlib import Path

    from crossrec.augment.content.variants import TextVariantsConfig
    from crossrec.data.catalog import Catalog
    from crossrec.encoders.text import TextEncoder
    from crossrec.model.build import Content
    from crossrec.model.modalities import Modality
    from crossrec.model.whitening import FeatureMap, Whitening


def viewed_texts(
    content: Content,
    config: TextEncoder.Options,
    whiten: Whitening | FeatureMap,
    views: TrainingViews,
    wanted: TextVariantsConfig,
) -> Modality:
    """The text modality with views, for a network that is going to be trained.

    Args:
        content: catalogue and encoders.
        config: of the encoder.
        whiten: as ``components`` of ``FrozenFeatures``.
        views: which items get views.
        wanted: which views they get.
    """
    encoder = config.build(content.cache_dir)
    made = TextViewsOfItems(wanted, views, content.catalog, content.cache_dir, encoder)
    choice = ViewChoice(wanted.share, wanted.schedule, views.seed, "text")
    if config.training is Tuning.FROZEN:
        features, vectors = content.text_features(config), made.vectors(encoder, content.cache_dir)
        return ViewedFeatures(
            features.vectors_ND, features.present_N, vectors, choice, components=whiten, met=made.met
        )

    def load(rows: np.ndarray, chosen: np.ndarray) -> dict[str, Tensor]:
        return encoder.tokenize(made.texts(rows, chosen))

    return ViewedEncoder(
        encoder, load, made.counts, choice, content.catalog.has_text, encoder.width, met=made.met
    )


class TextViewsOfItems:
    """Views of texts, made once and held as strings.

    Args:
        config: of the views.
        views: which items get them.
        catalog: N items.
        cache_dir: where paraphrases are kept.
        encoder: judges paraphrases.

    Attributes:
        met: what each augmenter counted, kept and dropped, over all views.
    """

    def __init__(
        self,
        config: TextVariantsConfig,
        views: TrainingViews,
        catalog: Catalog,
        cache_dir: Path,
        encoder: TextEncoder,
    ) -> None:
        self.catalog = catalog
        items = np.flatnonzero(views.trained_N & catalog.has_text)
        texts = catalog.texts(items)
        keys = [str(content_key(text)) for text in texts]
        maker = config.build(cache_dir, encoder.encode)
        self._of: dict[int, list[str]] = {}
        self.met: Counter[str] = Counter()
        for number in range(maker.count):
            made = maker.view(texts, keys, views.seed, number)
            self.met.update(made.counts)
            for row in np.flatnonzero(made.changed):
                self._of.setdefault(int(items[row]), []).append(made.samples[row])
        report("text", int(views.trained_N.sum()), len(items), self.counts, dict(self.met))

    @property
    def counts(self) -> np.ndarray:
        """(N,) views that each item has."""
        counts_N = np.zeros(len(self.catalog), np.int64)
        for item, texts in self._of.items():
            counts_N[item] = len(texts)
        return counts_N

    def texts(self, items_K: np.ndarray, views_K: np.ndarray) -> list[str]:
        """K texts: of the view of that number, or the original for -1."""
        originals = self.catalog.texts(items_K)
        pairs = zip(items_K.tolist(), views_K.tolist(), originals, strict=True)
        return [text if view < 0 else self._of[item][view] for item, view, text in pairs]

    def vectors(self, encoder: TextEncoder, cache_dir: Path) -> ViewVectors:
        """All views through a frozen encoder; those that the cache knows are not computed."""
        pairs = [(item, text) for item in sorted(self._of) for text in self._of[item]]
        cache: FeatureCache[str] = FeatureCache(cache_dir / "features", encoder.identity, encoder.width)
        features = cache.encode_catalog(
            [content_key(text) for _, text in pairs],
            lambda wanted: [pairs[row][1] for row in wanted],
            encoder.encode,
            description="views of texts",
        )
        return ViewVectors(features.vectors_ND, np.asarray([item for item, _ in pairs], dtype=np.int64))
