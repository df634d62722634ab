"""Several pictures per item, such as a gallery or the frames of a video, pooled to one vector."""

from __future__ import annotations

import fnmatch
import glob
import logging
from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from crossrec.data.catalog import Catalog
from crossrec.data.pictures import read_picture_of
from crossrec.encoders.base import Tuning
from crossrec.encoders.cache import FeatureCache, Features, content_key, fetch_each
from crossrec.encoders.image import ImageEncoder
from crossrec.model.encoded_catalog import EncodedCatalog, FeatureKey, feature_key
from crossrec.model.modalities.base import ContentVectors, ItemModality, ModalityInputs
from crossrec.model.modalities.layers import FrozenFeatures, Modality, transformed
from crossrec.model.whitening import FeatureMap, Whitening, fit_map
from crossrec.runtime import distributed
from crossrec.runtime.pictures import UnreadablePicture, open_picture, read_picture
from crossrec.types import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

ITEM = "{item_id}"


class Frames(ItemModality):
    """Several pictures per item, encoded once by a frozen image encoder and pooled.

    Pictures that are missing or unreadable are left out of the pool; an item without any is masked.
    """

    class Options(ImageEncoder.Options):
        """Several pictures per item, read by any model of ``timm`` and pooled."""

        positional = ("weights",)

        column: str | None = Field(
            None, min_length=1, description="column of the item table with lists of paths or of pictures"
        )
        pattern: str | None = Field(
            None,
            min_length=1,
            description="files of each item, relative to data.root, such as 'frames/{item_id}_*.jpg' or "
            "'frames/{item_id}/*'",
        )
        max_frames: int = Field(
            8, ge=1, le=1_000, description="pictures per item; of more, evenly spaced ones are read"
        )
        pooling: Literal["mean", "attention"] = Field(
            "mean", description="the mean, or a mean with learned weights (softmax of a linear map)"
        )

        @model_validator(mode="after")
        def _readable(self) -> Self:
            if (self.column is None) == (self.pattern is None):
                raise ValueError("name either a column with lists of pictures, or a pattern of files")
            if self.pattern is not None and ITEM not in self.pattern:
                raise ValueError(f"pattern: '{self.pattern}' lacks {ITEM}, which stands for an item's id")
            if self.training is not Tuning.FROZEN:
                raise ValueError("training: frames are encoded once, by a frozen encoder")
            return self

        def encoder_options(self) -> ImageEncoder.Options:
            """Return the options of the encoder alone."""
            keys = ImageEncoder.Options.model_fields
            return ImageEncoder.Options(**{key: getattr(self, key) for key in keys})

    options: Options

    def __init__(self, options: Options, name: str) -> None:
        super().__init__(options, name)
        self.encoder = options.encoder_options()
        self.attends = options.pooling == "attention"

    def check(self, cache_dir: Path) -> None:
        """Check model, weights and size of the encoder."""
        self.encoder.check(cache_dir)

    def check_catalog(self, content: EncodedCatalog) -> None:
        """Check that some item has a picture."""
        if len(content.catalog) and not any(self._sources(content)):
            where = f"column '{self.options.column}'" if self.options.column else self.options.pattern
            raise InputError(
                f"model.modalities.{self.name} reads several pictures per item, but no item has any in "
                f"{where}; relative paths start from data.root"
            )

    def network(self, inputs: ModalityInputs) -> Modality:
        """Return frozen means of the frames, or the frames with learned weights."""
        frames = self._frames(inputs.content)
        if not self.attends:
            pooled = frames.mean()
            return FrozenFeatures(pooled.vectors_ND, pooled.present_N, components=inputs.whiten)
        return AttendedFrames(frames, components=inputs.whiten)

    def features(self, content: EncodedCatalog) -> Features | None:
        """Return the items' mean vectors; None with attention, whose weights are learned."""
        return None if self.attends else self._frames(content).mean()

    def stored(self, content: EncodedCatalog) -> Features:
        """Return the vectors of all frames, one row per item."""
        return self._frames(content).packed()

    def set_features(self, content: EncodedCatalog, features: Features) -> None:
        """Set the vectors of all frames."""
        content.set_features(self._key, features)

    def encode(self, content: EncodedCatalog, modality: Modality) -> ContentVectors:
        """Encode the frames of new items."""
        frames = self._frames(content)
        return ContentVectors.of(frames.packed() if self.attends else frames.mean())

    def columns(self, catalog: Catalog) -> Collection[str]:
        """Return the column of the pictures."""
        return () if self.options.column is None else (self.options.column,)

    @property
    def _key(self) -> FeatureKey:
        return feature_key(self.options, self.name)

    def _frames(self, content: EncodedCatalog) -> FrameVectors:
        packed = content.remembered(self._key, lambda: self._encoded(content).packed())
        return FrameVectors.of_packed(packed, self.options.max_frames)

    def _encoded(self, content: EncodedCatalog) -> FrameVectors:
        """Encode each picture once, by its content."""
        encoder = content.encoder(self.encoder)
        sources, limit = self._sources(content), self.options.max_frames
        flat = [(row, frame, source) for row, own in enumerate(sources) for frame, source in enumerate(own)]

        def data(place: int) -> bytes:
            source = flat[place][2]
            return source if isinstance(source, bytes) else self._file(content, source)

        keys: list[str | None] = []
        for place in range(len(flat)):
            try:
                keys.append(content_key(data(place)))
            except UnreadablePicture:
                # Still a key, so that the encoder tries, counts and masks it.
                keys.append(content_key(f"unreadable frame {flat[place][2]!r}"))
        cache: FeatureCache[Image] = FeatureCache(
            content.cache_dir / "features", encoder.identity, encoder.width
        )
        found = cache.encode_catalog(
            keys,
            fetch_each(lambda place: open_picture(data(place))),
            encoder.encode,
            description=f"frames of '{self.name}'",
        )
        vectors_NFW = np.zeros((len(sources), limit, encoder.width), np.float32)
        present_NF = np.zeros((len(sources), limit), dtype=bool)
        for place, (row, frame, _) in enumerate(flat):
            vectors_NFW[row, frame] = found.vectors_ND[place]
            present_NF[row, frame] = found.present_N[place]
        if distributed.is_main():
            n_with = int(present_NF.any(1).sum())
            mean = present_NF.sum() / max(n_with, 1)
            logger.info("%s: %d of %d items have %.1f frames each", self.name, n_with, len(sources), mean)
        return FrameVectors(vectors_NFW, present_NF)

    def _file(self, content: EncodedCatalog, source: str) -> bytes:
        if self.options.pattern is None:
            return read_picture_of(content.catalog, source)
        return read_picture(source)

    def _sources(self, content: EncodedCatalog) -> list[list[str | bytes]]:
        """Return per item the paths or encoded pictures that are read, at most ``max_frames``."""
        if self.options.column is not None:
            found = self._in_column(content.catalog, self.options.column)
        else:
            found = _matching(str(self.options.pattern), content)
        limit = self.options.max_frames
        return [[own[place] for place in _spaced(len(own), limit)] for own in found]

    def _in_column(self, catalog: Catalog, column: str) -> list[list[str | bytes]]:
        kind, types = catalog.kind(column, f"model.modalities.{self.name}"), pa.types
        if types.is_null(kind):
            return [[] for _ in range(len(catalog))]
        inner = kind.value_type if types.is_list(kind) or types.is_large_list(kind) else None
        readable = (
            types.is_string,
            types.is_large_string,
            types.is_binary,
            types.is_large_binary,
            types.is_null,
        )
        if inner is None or not any(test(inner) for test in readable):
            raise InputError(
                f"model.modalities.{self.name}: column '{column}' of the item table holds {kind}; frames are "
                "lists of paths or of encoded pictures"
            )
        return [[cell for cell in cells or [] if cell] for cells in catalog.column(column).to_pylist()]


def _spaced(count: int, limit: int) -> list[int]:
    """Return the places of at most ``limit`` of ``count`` frames, evenly spaced."""
    if count <= limit:
        return list(range(count))
    return [(2 * number + 1) * count // (2 * limit) for number in range(limit)]


def _matching(pattern: str, content: EncodedCatalog) -> list[list[str | bytes]]:
    """Return per item the files that match a pattern, sorted by name; each folder is listed once."""
    root = Path(".") if content.root is None else content.root
    listings: dict[str, list[str]] = {}
    found: list[list[str | bytes]] = []
    for item_id in content.catalog.item_ids:
        if "/" in str(item_id) or str(item_id) in (".", ".."):
            found.append([])  # no such file name
            continue
        folder, _, name = pattern.replace(ITEM, glob.escape(str(item_id))).rpartition("/")
        if folder not in listings:
            folders = sorted(glob.glob(folder, root_dir=root)) if folder else [""]
            paths = [path for own in folders for path in (root / own).iterdir() if path.is_file()]
            listings = {folder: sorted(f"{path.name}\0{path}" for path in paths)}  # the latest alone
        names = listings[folder]
        start = _literal(name)
        first = bisect_left(names, start)
        own_files: list[str | bytes] = []
        for entry in names[first:]:
            if not entry.startswith(start):
                break
            short, _, path = entry.partition("\0")
            if fnmatch.fnmatchcase(short, name):
                own_files.append(path)
        found.append(own_files)
    return found


def _literal(pattern: str) -> str:
    """Return the beginning of a pattern before its first wildcard."""
    return pattern[: min((pattern.find(sign) for sign in "*?[" if sign in pattern), default=len(pattern))]


@dataclass(frozen=True)
class FrameVectors:
    """Vectors of the frames of N items.

    Args:
        vectors_NFW: encoder output; zeros where not present.
        present_NF: (N, F) bool, which frames there are.
    """

    vectors_NFW: np.ndarray
    present_NF: np.ndarray

    @classmethod
    def of_packed(cls, features: Features, limit: int) -> FrameVectors:
        """Return the frames of :meth:`packed`.

        Args:
            features: packed frames.
            limit: F.
        """
        packed_NP = np.asarray(features.vectors_ND)
        vectors_NFV = packed_NP.reshape(len(packed_NP), limit, packed_NP.shape[1] // limit)
        return cls(vectors_NFV[:, :, :-1], vectors_NFV[:, :, -1] > 0)

    @property
    def known_N(self) -> np.ndarray:
        """(N,) bool, which items have any frame."""
        return np.asarray(self.present_NF.any(1), dtype=bool)

    def packed(self) -> Features:
        """Return one row per item: the frames' vectors, each with 1 behind it if it is present."""
        flags_NF1 = self.present_NF[:, :, None].astype(self.vectors_NFW.dtype)
        vectors_NFV = np.concatenate([self.vectors_NFW, flags_NF1], axis=2)
        return Features(vectors_NFV.reshape(len(vectors_NFV), -1), self.known_N, [])

    def mean(self) -> Features:
        """Return the means of the present frames."""
        count_N1 = self.present_NF.sum(1, keepdims=True)
        total_NW = np.where(self.present_NF[:, :, None], self.vectors_NFW, 0).sum(1)
        return Features(total_NW / np.maximum(count_N1, 1), self.known_N, [])


class AttendedFrames(Modality):
    """A mean of frames with learned weights: the softmax of each frame's product with a learned query.

    The query starts at zero, so that training starts from the plain mean.

    Args:
        frames: frames of N items.
        components: number of whitened dimensions, with statistics of all frames, or the map of a trained
            network.
    """

    mean: Tensor
    basis: Tensor
    frames: Tensor
    shown: Tensor

    def __init__(self, frames: FrameVectors, *, components: Whitening | FeatureMap) -> None:
        if isinstance(components, FeatureMap):
            self.map = components
        else:
            flat_TW = frames.vectors_NFW.reshape(-1, frames.vectors_NFW.shape[2])
            self.map = fit_map(flat_TW, frames.present_NF.ravel(), components)
        super().__init__(frames.known_N, self.map.width)
        # Saved with the model: items added later must be mapped in the same way.
        self.register_buffer("mean", torch.from_numpy(self.map.mean))
        self.register_buffer("basis", torch.from_numpy(self.map.basis))
        self.query = nn.Parameter(torch.zeros(self.map.width))
        self.n_frames = frames.present_NF.shape[1]
        self.register_buffer("frames", self._mapped(frames), persistent=False)
        self.register_buffer("shown", torch.from_numpy(frames.present_NF), persistent=False)

    def forward(self, items_K: Tensor) -> Tensor:
        """Return (K, width) means; zeros for an item without frames."""
        frames_KFC, shown_KF = self.frames[items_K], self.shown[items_K]
        logits_KF = (frames_KFC @ self.query) * self.width**-0.5
        # An item without frames is masked, and must not become NaN.
        visible_KF = shown_KF | ~shown_KF.any(1, keepdim=True)
        weights_KF = logits_KF.masked_fill(~visible_KF, -torch.inf).softmax(1)
        return (weights_KF.unsqueeze(-1) * frames_KFC).sum(1)

    def append(self, present_K: np.ndarray, vectors_KW: np.ndarray) -> None:
        """Append K items with packed frames."""
        added = FrameVectors.of_packed(Features(vectors_KW, present_K, []), self.n_frames)
        device = self.frames.device
        self.frames = torch.cat([self.frames, self._mapped(added).to(device)])
        self.shown = torch.cat([self.shown, torch.from_numpy(added.present_NF).to(device)])
        super().append(present_K, vectors_KW)

    def _mapped(self, frames: FrameVectors) -> Tensor:
        """Return (N, F, C) whitened frames, zeros where there is none."""
        n_items, n_frames, width = frames.vectors_NFW.shape
        flat = transformed(frames.vectors_NFW.reshape(-1, width), self.mean.cpu(), self.basis.cpu())
        shown_NF1 = torch.from_numpy(frames.present_NF)[:, :, None]
        return torch.where(shown_NF1, flat.view(n_items, n_frames, self.width), 0)
