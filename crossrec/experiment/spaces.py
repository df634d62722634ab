"""The spaces in which lists' diversity is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossrec.evaluation.facts import ItemFacts
from crossrec.experiment.config import SpacesConfig
from crossrec.model.build import Content

if TYPE_CHECKING:
    from crossrec.data.prepare import PreparedData
    from crossrec.encoders.cache import Features


def item_facts(data: PreparedData, config: SpacesConfig, content: Content) -> ItemFacts:
    """What metrics may know: training clicks, categories, and vectors in frozen text and image space.

    A space whose modality no item has is left out; so are its metrics.
    """
    vectors: dict[str, np.ndarray] = {}
    present: dict[str, np.ndarray] = {}
    if config.text is not None and data.catalog.has_text.any():
        vectors["text"], present["text"] = _centred_unit(content.text_features(config.text))
    if config.image is not None and data.catalog.has_image.any():
        vectors["image"], present["image"] = _centred_unit(content.image_features(config.image))
    if vectors:
        both = np.concatenate(list(vectors.values()), axis=1)
        present[""] = np.logical_or.reduce(list(present.values()))
        vectors[""] = both
    return ItemFacts(data.split.train_counts, data.catalog.category_matrix, vectors, present)


def space_names(data: PreparedData, config: SpacesConfig) -> list[str]:
    """Names of the spaces that :func:`item_facts` gives, without encoding anything."""
    catalog = data.catalog
    has = {
        "text": config.text is not None and catalog.has_text.any(),
        "image": config.image is not None and catalog.has_image.any(),
    }
    found = [name for name, there in has.items() if there]
    return [*found, ""] if found else []


def _centred_unit(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors about the catalogue's mean: without centring all pictures look alike to a CNN."""
    present = features.present_N
    vectors = np.asarray(features.vectors_ND, dtype=np.float32)
    centred = np.where(present[:, None], vectors - vectors[present].mean(0), 0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0), present
