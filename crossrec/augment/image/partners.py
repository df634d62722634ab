"""Pictures that a picture may be mixed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from crossrec.augment.base import digest
from crossrec.augment.image.picture import UNREADABLE_ERRORS, NoPartnerError

if TYPE_CHECKING:
    from PIL.Image import Image


class Partners:
    """A fixed set of pictures by category, so that a partner depends on no batch.

    Args:
        keys: n digests of the pictures; equal pictures count as one.
        categories: n lists of categories; a picture without any has no partner.
        load: reads the picture of one of the n; raises OSError for a broken one, None for none.
    """

    def __init__(
        self,
        keys: Sequence[str],
        categories: Sequence[Sequence[str]],
        load: Callable[[int], Image | None],
    ) -> None:
        self._load = load
        self._place: dict[str, int] = {}
        members: dict[str, set[str]] = {}
        for place, (key, names) in enumerate(zip(keys, categories, strict=True)):
            self._place.setdefault(key, place)
            for name in names:
                members.setdefault(name, set()).add(key)
        # Sorted, so that the catalogue's order makes no difference; the largest first, to be overwritten.
        ordered = sorted(members.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        self._members = {name: sorted(found) for name, found in ordered if len(found) > 1}
        self._category = {key: name for name, found in self._members.items() for key in found}

    def __len__(self) -> int:
        """Pictures that have a partner."""
        return len(self._category)

    @property
    def identity(self) -> str:
        """Names the set by its content."""
        return digest(repr(self._members))

    def draw(self, key: str | int, generator: np.random.Generator) -> Image:
        """Another picture of the smallest category that the picture shares with any other.

        Raises:
            NoPartnerError: there is none, or it can't be read.
        """
        name = self._category.get(str(key))
        if name is None:
            raise NoPartnerError
        others = self._members[name]
        chosen = int(generator.integers(len(others) - 1))
        # The last one stands in for the picture itself.
        partner = others[-1] if others[chosen] == key else others[chosen]
        try:
            picture = self._load(self._place[partner])
        except UNREADABLE_ERRORS as error:
            raise NoPartnerError from error
        if picture is None:
            raise NoPartnerError
        return picture
