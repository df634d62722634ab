"""Base of picture augmenters, with their options and outcomes, and partners for mixing."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import AfterValidator, Field

from crossrec.augment.base import Augmented, Augmenter, SampleRng, digest
from crossrec.config import ComponentOptions

if TYPE_CHECKING:
    from PIL.Image import Image


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if not 0 < value[0] <= value[1]:
        raise ValueError(f"needs 0 < low <= high, got {value[0]:g} and {value[1]:g}")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lowest and highest value of a uniform draw."""


def _share(value: tuple[float, float]) -> tuple[float, float]:
    if value[1] > 1:
        raise ValueError(f"is a share of the picture, at most 1, got {value[1]:g}")
    return value


Area = Annotated[Range, AfterValidator(_share)]
"""Lowest and highest share of a picture's area."""


class ImageOptions(ComponentOptions):
    """Options of every picture augmenter, also of those from outside the project."""

    mixes: ClassVar[bool] = False
    """Whether it needs a second picture."""

    probability: float = Field(0.5, ge=0, le=1, description="probability that a picture is changed")


UNREADABLE_ERRORS = (OSError, SyntaxError, ValueError)
"""Errors that Pillow raises for a broken or oversized picture."""


class ImageOutcome(StrEnum):
    """Outcome of augmenting a picture; all but ``KEPT`` return the original."""

    KEPT = "kept"
    UNCHANGED = "looks the same"
    UNREADABLE = "unreadable"
    NO_PARTNER = "no partner"


class NoPartnerError(Exception):
    """No other picture of the same category can be used."""


class ImageAugmenter(Augmenter[list["Image"]]):
    """Base of augmenters that change pictures one by one and keep size and mode."""

    def augment(self, samples: list[Image], draws: SampleRng) -> Augmented[list[Image]]:
        """Augment pictures of any mode that Pillow converts to RGB and back.

        Args:
            samples: pictures, opened or loaded.
            draws: random numbers of the pictures.
        """
        pictures, outcomes = [], []
        for row, picture in enumerate(samples):
            result, outcome = self._one(picture, draws.keys[row], draws.of(row))
            pictures.append(result)
            outcomes.append(outcome)
        changed = np.asarray([outcome is ImageOutcome.KEPT for outcome in outcomes], dtype=bool)
        return Augmented(pictures, changed, dict(Counter(str(outcome) for outcome in outcomes)))

    def _one(
        self, picture: Image, key: str | int, generator: np.random.Generator
    ) -> tuple[Image, ImageOutcome]:
        # Only around loading: errors in a change are wrong settings or bugs.
        try:
            picture.load()
            before = _plain(picture)
        except UNREADABLE_ERRORS:
            return picture, ImageOutcome.UNREADABLE
        try:
            after = self.change(before, key, generator)
        except NoPartnerError:
            return picture, ImageOutcome.NO_PARTNER
        if after.tobytes() == before.tobytes():
            return picture, ImageOutcome.UNCHANGED
        return _restored(after, picture.mode), ImageOutcome.KEPT

    @abstractmethod
    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """Return a changed picture of the same size and mode.

        Args:
            picture: picture of mode L, RGB or RGBA.
            key: key of the sample.
            generator: random generator of the sample.

        Raises:
            NoPartnerError: if it would need a second picture, and there is none.
        """


@contextmanager
def seeded(generator: np.random.Generator) -> Iterator[None]:
    """Make torchvision draw from this generator; PyTorch's CPU generator is restored afterwards.

    GPU generators are left alone, which ``torch.manual_seed`` would not do.
    """
    import torch

    state = torch.get_rng_state()
    torch.default_generator.manual_seed(int(generator.integers(2**63)))
    try:
        yield
    finally:
        torch.set_rng_state(state)


def border_colour(picture: Image) -> list[int]:
    """Return the median color of the border pixels, used to fill uncovered areas."""
    pixels_HWC = channels(picture)
    edges = (pixels_HWC[0], pixels_HWC[-1], pixels_HWC[:, 0], pixels_HWC[:, -1])
    return [int(value) for value in np.median(np.concatenate(edges), axis=0)]


def channels(picture: Image) -> np.ndarray:
    """Return (H, W, C) uint8 pixels."""
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def apart(picture: Image) -> tuple[Image, Image | None]:
    """Split a picture into colors and transparency (None if opaque)."""
    if picture.mode != "RGBA":
        return picture, None
    return picture.convert("RGB"), picture.getchannel("A")


def together(colours: Image, alpha: Image | None) -> Image:
    """Merge colors and transparency."""
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _plain(picture: Image) -> Image:
    """Convert a picture to a mode that all transforms take."""
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _restored(picture: Image, mode: str) -> Image:
    if picture.mode == mode:
        return picture
    return picture.quantize() if mode == "P" else picture.convert(mode)


class Partners:
    """Pictures by category to mix with, fixed so that a partner doesn't depend on the batch.

    Args:
        keys: n digests of the pictures; equal pictures count as one.
        categories: n lists of categories; a picture without any has no partner.
        load: function that reads one of the n pictures; raises OSError for a broken one, None for none.
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
        """Return the number of pictures that have a partner."""
        return len(self._category)

    @property
    def identity(self) -> str:
        """Digest of the set."""
        return digest(repr(self._members))

    def draw(self, key: str | int, generator: np.random.Generator) -> Image:
        """Draw another picture of the smallest category that the picture shares with any other.

        Raises:
            NoPartnerError: if there is none, or it can't be read.
        """
        name = self._category.get(str(key))
        if name is None:
            raise NoPartnerError
        others = self._members[name]
        chosen = int(generator.integers(len(others) - 1))
        # The last one replaces the picture itself.
        partner = others[-1] if others[chosen] == key else others[chosen]
        try:
            picture = self._load(self._place[partner])
        except UNREADABLE_ERRORS as error:
            raise NoPartnerError from error
        if picture is None:
            raise NoPartnerError
        return picture
