"""Pictures that are sent: nothing but their pixels is kept."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from crossrec.server.pictures import KEPT_SIDE, checked_picture
from crossrec.types import InputError

MOST = 10_000_000


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_kept_as_jpeg_no_larger_than_needed(picture: Callable[..., bytes], kind: str) -> None:
    kept = opened(checked_picture(picture("red", (3000, 1500), kind), MOST))
    assert (kept.format, kept.mode, kept.size) == ("JPEG", "RGB", (KEPT_SIDE, KEPT_SIDE // 2))
    assert np.asarray(kept, int)[5, 5] == pytest.approx([254, 0, 0], abs=6)


def test_a_picture_taken_sideways_is_turned_and_its_place_forgotten() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(buffer, "JPEG", exif=exif)
    kept = opened(checked_picture(buffer.getvalue(), MOST))
    assert kept.size == (20, 40)
    assert not kept.getexif()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode).save(
        buffer, "PNG", transparency=0 if mode == "P" else None
    )
    assert np.asarray(opened(checked_picture(buffer.getvalue(), MOST)))[4, 4].min() > 250


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "CMYK"])
def test_other_kinds_of_pixels_become_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "JPEG" if mode == "CMYK" else "PNG")
    assert opened(checked_picture(buffer.getvalue(), MOST)).mode == "RGB"


def test_what_is_no_picture_or_half_of_one_is_refused(picture: Callable[..., bytes]) -> None:
    whole = picture("blue", (200, 200), "JPEG")
    for content in (b"", b"text", whole[:400], picture(kind="GIF"), picture(kind="BMP")):
        with pytest.raises(InputError, match="picture"):
            checked_picture(content, MOST)


def test_any_damage_is_an_input_error(picture: Callable[..., bytes]) -> None:
    generator = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = np.frombuffer(picture("green", (64, 64), kind), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[generator.integers(0, len(whole), 6)] = generator.integers(0, 256, 6)
            try:
                assert opened(checked_picture(damaged.tobytes(), MOST)).format == "JPEG"
            except InputError:
                continue
