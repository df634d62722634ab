"""What picture augmenters share: a generator a picture, its size and mode kept, what happened counted."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from crossrec.augment.base import Augmented, Augmenter, SampleRng

if TYPE_CHECKING:
    from PIL.Image import Image

UNREADABLE_ERRORS = (OSError, SyntaxError, ValueError)
"""What Pillow raises for a broken or absurd picture."""


class Outcome(StrEnum):
    """What became of a picture; all but ``KEPT`` gave the original back."""

    KEPT = "kept"
    UNCHANGED = "looks the same"
    UNREADABLE = "unreadable"
    NO_PARTNER = "no partner"


class NoPartnerError(Exception):
    """There is no other picture in the same category."""


class PictureAugmenter(Augmenter[list["Image"]]):
    """Changes pictures one by one; each keeps its size and mode."""

    def augment(self, samples: list[Image], draws: SampleRng) -> Augmented[list[Image]]:
        """Augments pictures of any mode that Pillow converts to RGB and back.

        Args:
            samples: pictures, opened or loaded.
            draws: as many.
        """
        pictures, outcomes = [], []
        for row, picture in enumerate(samples):
            result, outcome = self._one(picture, draws.keys[row], draws.of(row))
            pictures.append(result)
            outcomes.append(outcome)
        changed = np.asarray([outcome is Outcome.KEPT for outcome in outcomes], dtype=bool)
        return Augmented(pictures, changed, dict(Counter(str(outcome) for outcome in outcomes)))

    def _one(self, picture: Image, key: str | int, generator: np.random.Generator) -> tuple[Image, Outcome]:
        # Only around loading: what goes wrong in a change is a wrong setting or a fault of ours.
        try:
            picture.load()
            before = _plain(picture)
        except UNREADABLE_ERRORS:
            return picture, Outcome.UNREADABLE
        try:
            after = self.change(before, key, generator)
        except NoPartnerError:
            return picture, Outcome.NO_PARTNER
        if after.tobytes() == before.tobytes():
            return picture, Outcome.UNCHANGED
        return _restored(after, picture.mode), Outcome.KEPT

    @abstractmethod
    def change(self, picture: Image, key: str | int, generator: np.random.Generator) -> Image:
        """A changed picture of the same size and mode.

        Args:
            picture: of mode L, RGB or RGBA.
            key: names the sample.
            generator: belongs to the sample.

        Raises:
            NoPartnerError: it would need a second picture, and there is none.
        """


@contextmanager
def seeded(generator: np.random.Generator) -> Iterator[None]:
    """Within, torchvision's draws come from this generator; PyTorch's own CPU generator is put back after.

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
    """The median colour of the outermost pixels, which fills what a movement lays bare."""
    pixels_HWC = channels(picture)
    edges = (pixels_HWC[0], pixels_HWC[-1], pixels_HWC[:, 0], pixels_HWC[:, -1])
    return [int(value) for value in np.median(np.concatenate(edges), axis=0)]


def channels(picture: Image) -> np.ndarray:
    """(H, W, C) uint8 pixels."""
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def apart(picture: Image) -> tuple[Image, Image | None]:
    """Colours, and transparency where there is any; for changes that only colours undergo."""
    if picture.mode != "RGBA":
        return picture, None
    return picture.convert("RGB"), picture.getchannel("A")


def together(colours: Image, alpha: Image | None) -> Image:
    """The reverse of :func:`apart`."""
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _plain(picture: Image) -> Image:
    """The picture in a mode that all transforms take."""
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _restored(picture: Image, mode: str) -> Image:
    if picture.mode == mode:
        return picture
    return picture.quantize() if mode == "P" else picture.convert(mode)
