"""Item features for baselines, besides the clicks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.sparse import csr_matrix

from crossrec.data.catalog import Catalog
from crossrec.types import InputError
from crossrec.vectors import centred_rows, unit_rows


@dataclass(frozen=True)
class BaselineContext:
    """Item count and item features for baselines.

    Args:
        n_items: N, items in the catalogue.
        categories: (N, C) membership of each item in each category, None where nothing has a category.
        texts: the texts of some rows, the empty string where missing; None where no item has one.
        vectors: modality (such as ``text`` or ``image``) -> (N, W) frozen encoder vectors; a mapping
            that computes them on demand will do.
        present: modality -> (N,) bool, which items have a vector.
    """

    n_items: int
    categories: csr_matrix | None = None
    texts: Callable[[np.ndarray], list[str]] | None = None
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    present: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of_catalog(
        cls, catalog: Catalog, vectors: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray]
    ) -> Self:
        """The context of a catalogue and its encoders' vectors (``ItemFacts.vectors`` and ``present``)."""
        return cls(
            n_items=len(catalog),
            categories=catalog.category_matrix if catalog.category_names else None,
            texts=catalog.texts if catalog.has_text.any() else None,
            vectors=vectors,
            present=present,
        )

    def require(self, need: str, asker: str) -> None:
        """Check that a feature exists: ``texts``, ``categories``, or the vectors of a modality.

        Raises:
            InputError: it isn't.
        """
        if need == "texts":
            self._check_texts(asker)
        elif need == "categories":
            self.need_categories(asker)
        else:
            self._check_vectors(need, asker)

    def need_texts(self, asker: str) -> list[str]:
        """All N texts.

        Raises:
            InputError: no item has a text.
        """
        self._check_texts(asker)
        assert self.texts is not None
        return self.texts(np.arange(self.n_items))

    def _check_texts(self, asker: str) -> None:
        if self.texts is None:
            raise InputError(
                f"{asker} needs item texts, but no item of the catalogue has one; "
                "give the items a 'text', or leave this baseline out"
            )

    def need_categories(self, asker: str) -> csr_matrix:
        """(N, C) membership of each item in each category.

        Raises:
            InputError: no item has a category.
        """
        if self.categories is None:
            raise InputError(
                f"{asker} needs item categories, but no item of the catalogue has one; "
                "give the items 'categories', or leave this baseline out"
            )
        return self.categories

    def need_vectors(self, modality: str, asker: str) -> tuple[np.ndarray, np.ndarray]:
        """(N, W) float32 vectors of one modality, zeros where missing, and (N,) bool, who has one.

        Raises:
            InputError: nothing is known of that modality.
        """
        self._check_vectors(modality, asker)
        present_N = np.asarray(self.present[modality], dtype=bool)
        vectors_NW = np.asarray(self.vectors[modality], dtype=np.float32)
        return np.where(present_N[:, None], vectors_NW, np.float32(0)), present_N

    def _check_vectors(self, modality: str, asker: str) -> None:
        if modality not in self.vectors:
            known = ", ".join(sorted(name for name in self.vectors if name)) or "none"
            raise InputError(
                f"{asker} needs {modality} vectors of the items, but there are {known}: "
                f"no item has {modality}, or spaces.{modality} is null; set it, or leave this baseline out"
            )


def centred_unit(vectors_NW: np.ndarray, present_N: np.ndarray) -> np.ndarray:
    """(N, W) float32 unit vectors about the mean of the items that are present, zeros for the others.

    Encoders' vectors lie in a narrow cone: without centring, all items look alike.
    """
    return unit_rows(centred_rows(vectors_NW, present_N), smallest=1e-6).astype(np.float32)
