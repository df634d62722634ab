"""The spaces in which items are compared, for a catalogue that grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossrec.experiment.prepared import CONTENT_SPACE
from crossrec.model.growth import IMAGE, TEXT, content_features
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.encoders.cache import Features
    from crossrec.experiment.config import SpacesConfig
    from crossrec.model.encoded_catalog import EncodedCatalog


@dataclass(frozen=True)
class SpaceTable:
    """Unit vectors of N items about the mean of those that the catalogue began with.

    Args:
        mean_D: what is taken off before a vector is brought to unit length.
        vectors_ND: float32; zeros where not present.
        present_N: (N,) bool.
    """

    mean_D: np.ndarray
    vectors_ND: np.ndarray
    present_N: np.ndarray

    @classmethod
    def of(cls, features: Features, mean_D: np.ndarray | None = None) -> SpaceTable:
        """A table from an encoder's output; the mean is that of the items themselves when None."""
        raw_ND, present_N = np.asarray(features.vectors_ND, dtype=np.float32), features.present_N
        if mean_D is None:
            mean_D = raw_ND[present_N].mean(0)
        centred_ND = np.where(present_N[:, None], raw_ND - mean_D, 0)
        return cls(mean_D, _unit(centred_ND), present_N)

    def extended(self, features: Features) -> SpaceTable:
        """The table with further items, about the same mean."""
        more = SpaceTable.of(features, self.mean_D)
        return SpaceTable(
            self.mean_D,
            np.concatenate([self.vectors_ND, more.vectors_ND]),
            np.concatenate([self.present_N, more.present_N]),
        )


class Spaces:
    """Item vectors by name of space, made when they are first asked for.

    Spaces are those in which a run measures its lists: ``text`` and ``image``, whose encoders don't hang on
    the model, and ``content``, both side by side.

    Args:
        config: the encoders of the spaces.
        contents: the items that the catalogue began with, then those of each addition; the list grows.
        single: of ``text`` and ``image`` those that there are.
    """

    def __init__(self, config: SpacesConfig, contents: list[EncodedCatalog], single: Sequence[str]) -> None:
        self.config = config
        self.contents = contents
        self._single = tuple(single)
        self._tables: dict[str, SpaceTable] = {}
        self._used: dict[str, int] = {}

    @classmethod
    def of_catalog(cls, config: SpacesConfig, contents: list[EncodedCatalog]) -> Spaces:
        """The spaces whose modality some item of the first content has."""
        catalog = contents[0].catalog
        text = config.text is not None and bool(catalog.has_text.any())
        image = config.image is not None and bool(catalog.has_image.any())
        return cls(config, contents, [name for name, there in ((TEXT, text), (IMAGE, image)) if there])

    @property
    def single(self) -> tuple[str, ...]:
        """Those of one modality."""
        return self._single

    @property
    def names(self) -> list[str]:
        """Of all spaces."""
        return [*self._single, CONTENT_SPACE] if self._single else []

    def table(self, name: str) -> SpaceTable:
        """The vectors of a space.

        Raises:
            InputError: there is no such space.
        """
        if name == CONTENT_SPACE and self._single:
            return self._side_by_side()
        if name not in self._single:
            raise InputError(f"there are no item vectors in the space '{name}'; there are {self.names}")
        for content in self.contents[self._used.get(name, 0) :]:
            features = content_features(name, self.config, content)
            there = self._tables.get(name)
            self._tables[name] = SpaceTable.of(features) if there is None else there.extended(features)
            self._used[name] = self._used.get(name, 0) + 1
        return self._tables[name]

    def _side_by_side(self) -> SpaceTable:
        tables = [self.table(name) for name in self._single]
        return SpaceTable(
            np.concatenate([table.mean_D for table in tables]),
            _unit(np.concatenate([table.vectors_ND for table in tables], axis=1)),
            np.logical_or.reduce([table.present_N for table in tables]),
        )


def _unit(vectors_ND: np.ndarray) -> np.ndarray:
    """Rows of unit length; a row of zeros stays one."""
    length = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.divide(vectors_ND, length, out=np.zeros_like(vectors_ND), where=length > 0)
