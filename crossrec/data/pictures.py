"""One picture per item: the catalogue's own, or those of a further column."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from crossrec.data.catalog import Catalog
from crossrec.runtime.pictures import HEAD, UnreadablePicture, open_picture, picture_fault, read_picture
from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


class ItemPictures:
    """The pictures of a catalogue's items (``image_path`` and ``image_bytes``).

    Args:
        catalog: N items.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    @property
    def named_N(self) -> np.ndarray:
        """(N,) bool, false where neither bytes nor a path is given."""
        return self.catalog.names_image

    @property
    def has_N(self) -> np.ndarray:
        """(N,) bool, which items have a picture, by the first bytes of each."""
        return self.catalog.has_image

    def image(self, row: int) -> Image | None:
        """Return the picture of one item, upright, on white, in RGB, or None where it has none.

        Raises:
            UnreadablePicture: if there is a picture, but it can't be read or decoded.
        """
        return self.catalog.image(row)

    def image_bytes(self, row: int) -> bytes | None:
        """Return the encoded picture as stored, or None where the item has none.

        Raises:
            UnreadablePicture: if its file can't be read, or lies outside the pictures' folder.
        """
        return self.catalog.image_bytes(row)

    def fault(self, row: int) -> str:
        """Return why the picture of an item can't be read, with the item's id."""
        try:
            self.image(row)
        except UnreadablePicture as error:
            return f"that of item '{self.catalog.item_ids[row]}' ({error})"
        return f"that of item '{self.catalog.item_ids[row]}'"


class ColumnPictures(ItemPictures):
    """Pictures of a further column, which holds paths or encoded pictures.

    Args:
        catalog: N items.
        column: name of the column.

    Raises:
        InputError: if there is no such column, or it holds something else.
    """

    def __init__(self, catalog: Catalog, column: str) -> None:
        super().__init__(catalog)
        kind = catalog.kind(column, "a picture")
        if not _is_path(kind) and not _is_bytes(kind):
            raise InputError(
                f"column '{column}' of the item table holds {kind}; pictures are read from a column of paths "
                "or of encoded pictures"
            )
        self.column = column

    @cached_property
    def _values(self) -> list[str | bytes | None]:
        values = self.catalog.column(self.column).to_pylist()
        return [value.strip() or None if isinstance(value, str) else value for value in values]

    @cached_property
    def named_N(self) -> np.ndarray:
        """(N,) bool, false where nothing is given."""
        return np.asarray([value is not None for value in self._values], dtype=bool)

    @cached_property
    def has_N(self) -> np.ndarray:
        """(N,) bool, which items have a picture, by the first bytes of each."""
        found_N = self.named_N.copy()
        for row in np.flatnonzero(found_N).tolist():
            try:
                data = self.image_bytes(row)
            except UnreadablePicture:
                data = None
            found_N[row] = data is not None and picture_fault(data[:HEAD]) is None
        return found_N

    def image(self, row: int) -> Image | None:
        """Return the picture of one item; see :meth:`ItemPictures.image`."""
        data = self.image_bytes(row)
        if data is None:
            return None
        try:
            return open_picture(data)
        except UnreadablePicture as error:
            value = self._values[row]
            raise UnreadablePicture(f"{value}: {error}" if isinstance(value, str) else str(error)) from error

    def image_bytes(self, row: int) -> bytes | None:
        """Return the encoded picture as stored; see :meth:`ItemPictures.image_bytes`."""
        value = self._values[row]
        return read_picture_of(self.catalog, value) if isinstance(value, str) else value


def pictures_of(catalog: Catalog, column: str | None) -> ItemPictures:
    """Return the catalogue's own pictures, or those of a further column.

    Raises:
        InputError: if there is no such column, or it holds no pictures.
    """
    return ItemPictures(catalog) if column is None else ColumnPictures(catalog, column)


def read_picture_of(catalog: Catalog, path: str) -> bytes:
    """Return the bytes of a picture's file, which lies in the catalogue's folders of pictures.

    Args:
        catalog: catalogue with the folders.
        path: path of the file; a relative one starts from one of these folders.

    Raises:
        UnreadablePicture: if the file is missing or unreadable, or lies outside of the folders.
    """
    if not os.path.isabs(path):
        inside = [os.path.join(root, path) for root in catalog.image_roots or ()]
        path = next((found for found in inside if os.path.exists(found)), inside[0] if inside else path)
    return read_picture(catalog.inside(path))


def _is_path(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
