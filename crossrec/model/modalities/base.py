"""Base of modalities: from options and a catalogue to a module of the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from crossrec.config import Component, ComponentOptions
from crossrec.data.catalog import Catalog
from crossrec.data.neighbours import Neighbours
from crossrec.encoders.cache import Features
from crossrec.model.encoded_catalog import EncodedCatalog
from crossrec.model.modalities.layers import Modality
from crossrec.model.variants import TrainingVariants
from crossrec.model.whitening import FeatureMap, Whitening


@dataclass(frozen=True)
class ModalityInputs:
    """Data that modalities are built from.

    Args:
        content: catalogue of N items and its encoded features.
        width: D of the item vectors.
        trained_N: (N,) bool, items with a training click.
        whiten: dimensions of whitened frozen features, or the map of a trained network.
        variants: training items and options of their variants; None for a network that is not trained.
        id_std: initial standard deviation of learned embeddings; None for vectors of about unit length.
        groups: (N,) labels of the items' groups; None if the model has no groups.
        neighbours: most similar items; None if ids are not smoothed.
        saved: weights of this modality in a trained network, by name; empty for a new network.
        modules: modules of the modalities that were made before, by name: those of content.
    """

    content: EncodedCatalog
    width: int
    trained_N: np.ndarray
    whiten: Whitening | FeatureMap = "auto"
    variants: TrainingVariants | None = None
    id_std: float | None = None
    groups: np.ndarray | None = None
    neighbours: Neighbours | None = None
    saved: Mapping[str, Tensor] = field(default_factory=dict)
    modules: Mapping[str, Modality] = field(default_factory=dict)


@dataclass(frozen=True)
class ContentVectors:
    """Raw vectors of one modality for K items.

    Args:
        present_K: (K,) bool, which items have the modality.
        vectors_KW: raw vectors, arbitrary where not present.
    """

    present_K: np.ndarray
    vectors_KW: np.ndarray

    @classmethod
    def of(cls, features: Features) -> ContentVectors:
        """Return encoded features of K items."""
        return cls(features.present_N, np.asarray(features.vectors_ND))

    @classmethod
    def nothing(cls, count: int, width: int = 0) -> ContentVectors:
        """Return K items without the modality."""
        return cls(np.zeros(count, dtype=bool), np.zeros((count, width), np.float32))


class ItemModality(Component):
    """Base of the members of ``model.modalities``.

    An object is made of the options and the modality's name alone; it opens no file and loads no weights.

    Args:
        options: options of the modality.
        name: key in ``model.modalities``.
    """

    learned: ClassVar[bool] = False
    """Whether vectors are learned from clicks alone, so that items added later have none."""

    seeded: ClassVar[bool] = False
    """Whether :meth:`network` draws initial weights, which depend on the experiment's seed."""

    def __init__(self, options: ComponentOptions, name: str) -> None:
        self.options, self.name = options, name

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return the module of the network.

        Raises:
            InputError: if no item has the modality, or its data can't be read.
        """
        raise NotImplementedError("a modality implements network()")

    def check(self, cache_dir: Path) -> None:
        """Check the options before data is loaded.

        Raises:
            InputError: if weights can't be loaded, or options don't fit them.
        """

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Check that the catalogue has what the modality reads, before anything is encoded.

        Raises:
            InputError: if a column is missing or of the wrong kind, or no item has the modality.
        """

    def features(self, content: EncodedCatalog) -> Features | None:
        """Return frozen features of a catalogue's items, computed once; None for a modality without any."""
        return None

    def stored(self, content: EncodedCatalog) -> Features | None:
        """Return what a shared folder keeps in place of the raw data; :meth:`set_features` takes it back."""
        return self.features(content)

    def set_features(self, content: EncodedCatalog, features: Features) -> None:
        """Set features that were saved with a trained network, so that they are not computed again."""

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Return the raw vectors of new items.

        Args:
            content: content of K items.
            modality: module of the trained network.
        """
        found = self.features(content)
        if found is None:
            raise NotImplementedError("a modality without frozen features implements encode()")
        return ContentVectors.of(found)

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the columns of the catalogue that the modality reads, as rows of new items name them."""
        return ()

    def parameters(self, width: int, whiten: Whitening, n_items: int) -> int:
        """Estimate the trained parameters, without pretrained ones.

        Args:
            width: D of the item vectors.
            whiten: ``model.whiten``.
            n_items: N.
        """
        return width * (whiten if isinstance(whiten, int) else width)
