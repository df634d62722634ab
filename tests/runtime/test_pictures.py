"""One way to open a picture: known pixels of every kind of file, readable errors, bounded work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossrec.runtime.picture_process import open_apart
from crossrec.runtime.pictures import (
    MAX_PIXELS,
    MAX_SIDE,
    UnreadablePicture,
    clean_picture,
    open_picture,
    picture_fault,
    png,
    read_head,
    read_picture,
)

SHARED = Path(os.environ.get("CROSSREC_SHARED", Path(__file__).parents[2] / ".." / "shared"))
PHOTOS = SHARED / "cases" / "pictures" / "photos"
RED, BLUE, WHITE = (200, 30, 30), (20, 90, 200), (255, 255, 255)
SIZE = (48, 32)


def halves(left: object = BLUE, right: object = RED, mode: str = "RGB") -> Image.Image:
    """48 by 32 pixels: one colour on the left, another on the right."""
    found = Image.new(mode, SIZE, right)  # type: ignore[arg-type]
    found.paste(left, (0, 0, 24, 32))  # type: ignore[arg-type]
    return found


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    """The halves as a camera stores them that was held in another way."""
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = halves() if back is None else halves().transpose(back)
    return encoded(stored, "JPEG", exif=exif, quality=95)


def kinds() -> dict[str, tuple[bytes, tuple[int, int, int], tuple[int, int, int]]]:
    """File, colour on the left and colour on the right of every kind."""
    clear, palette = (10, 200, 10, 0), halves().quantize(8)
    see_through = halves((*BLUE, 255), clear, "RGBA")
    grey = (100, 100, 100)
    sixteen = Image.fromarray(np.repeat([[0] * 24 + [0xC8C8] * 24], 32, 0).astype(np.uint16))
    frames = [halves(WHITE, RED), halves(RED, WHITE)]
    black_clear = halves((0, 0, 0), (0, 0, 0)).quantize(4)
    multi = {"save_all": True, "append_images": [halves()]}
    found = {
        "PNG": (encoded(halves(), "PNG"), BLUE, RED),
        "BMP": (encoded(halves(), "BMP"), BLUE, RED),
        "TIFF": (encoded(halves(), "TIFF"), BLUE, RED),
        "WebP": (encoded(halves(), "WEBP", lossless=True), BLUE, RED),
        "palette": (encoded(palette, "PNG"), BLUE, RED),
        "grey": (encoded(halves(100, 200, "L"), "PNG"), grey, (200, 200, 200)),
        "black and white": (encoded(halves(0, 1, "1"), "PNG"), (0, 0, 0), WHITE),
        "16 bits": (encoded(sixteen, "PNG"), (0, 0, 0), (200, 200, 200)),
        "16 bits TIFF": (encoded(sixteen, "TIFF"), (0, 0, 0), (200, 200, 200)),
        "CMYK": (encoded(halves((0, 255, 255, 0), (0, 0, 0, 0), "CMYK"), "JPEG"), (255, 0, 0), WHITE),
        "RGBA": (encoded(see_through, "PNG"), BLUE, WHITE),
        "half transparent": (
            encoded(halves((0, 0, 0, 128), (0, 0, 0, 51), "RGBA"), "PNG"),
            (127,) * 3,
            (204,) * 3,
        ),
        "LA": (encoded(halves((100, 255), (0, 0), "LA"), "PNG"), grey, WHITE),
        "transparent WebP": (encoded(see_through, "WEBP", lossless=True), BLUE, WHITE),
        "transparent palette": (encoded(black_clear, "PNG", transparency=0), WHITE, WHITE),
        "GIF": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), WHITE, RED),
        "animated WebP": (encoded(frames[0], "WEBP", lossless=True, **{**multi}), WHITE, RED),
        "animated PNG": (encoded(frames[0], "PNG", **{**multi}), WHITE, RED),
        **{f"EXIF {turn}": (turned(turn), BLUE, RED) for turn in range(1, 9)},
    }
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = halves().transpose(Image.Transpose.ROTATE_90)
    found["turned TIFF"] = (encoded(sideways, "TIFF", exif=exif), BLUE, RED)
    found["turned PNG"] = (encoded(sideways, "PNG", exif=exif), BLUE, RED)
    return found


KINDS = kinds()


@pytest.mark.parametrize("kind", list(KINDS))
def test_pixels_are_known_for_every_kind(kind: str, tmp_path: Path) -> None:
    data, left, right = KINDS[kind]
    found = open_picture(data)
    assert (found.mode, found.size, found.info) == ("RGB", SIZE, {})
    pixels = np.asarray(found, int)
    np.testing.assert_allclose(pixels[4:-4, 4:20], np.broadcast_to(left, (24, 16, 3)), atol=4)
    np.testing.assert_allclose(pixels[4:-4, 28:-4], np.broadcast_to(right, (24, 16, 3)), atol=4)
    (tmp_path / "x.jpg").write_bytes(data)  # the name says nothing
    same = [open_picture(tmp_path / "x.jpg"), clean_picture(Image.open(io.BytesIO(data)))]
    same.append(open_picture(png(found)))
    for other in same:
        np.testing.assert_array_equal(np.asarray(other), np.asarray(found))
    assert clean_picture(found) is found
    assert picture_fault(read_head(tmp_path / "x.jpg")) is None


def test_16_bits_are_scaled_step_by_step() -> None:
    ramp = np.linspace(0, 65_535, 256).round().astype(np.uint16).reshape(16, 16)
    found = np.asarray(open_picture(encoded(Image.fromarray(ramp), "PNG")))
    np.testing.assert_array_equal(found[..., 0].ravel(), np.arange(256))


def test_large_ones_are_shrunk_and_as_large_in_any_form() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = open_picture(encoded(Image.new("RGB", (3000, 1200), RED), "JPEG", exif=exif))
    assert found.size == (round(MAX_SIDE * 0.4), MAX_SIDE)
    np.testing.assert_allclose(np.asarray(found, int), np.broadcast_to(RED, (*found.size[::-1], 3)), atol=3)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared cases are not there (CROSSREC_SHARED)")
def test_the_shared_cases() -> None:
    for path in sorted(PHOTOS.iterdir()):
        if path.name in ("l_zero.jpg", "m_trunc.jpg", "p_html.jpg"):
            with pytest.raises(UnreadablePicture):
                open_picture(path)
            continue
        found = open_picture(path)
        assert (found.mode, found.size) == ("RGB", (96, 64)), path
        if path.name.startswith("r"):  # dithered
            continue
        last, grey = np.asarray(found, int)[-3, -3], path.name[0] in "hq"
        wanted = WHITE if path.name[0] in "efg" else (82, 82, 82) if grey else RED
        np.testing.assert_allclose(last, wanted, atol=8, err_msg=str(path))


def broken() -> dict[str, tuple[bytes, str]]:
    photo = encoded(halves(), "JPEG")
    return {
        "empty": (b"", "the file is empty"),
        "a page": (b"<!DOCTYPE html><p>404", "web page"),
        "text": (b"hello, I am text", "no picture"),
        "half a JPEG": (photo[: len(photo) * 2 // 3], "broken"),
        "half a PNG": (encoded(halves(), "PNG")[:80], "broken"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),
        "32 bits": (encoded(Image.new("F", (9, 9), 0.5), "TIFF"), "none is defined as white"),
        "scans": (many_scans(4_000), "scans"),
    }


def many_scans(count: int, side: int = 500) -> bytes:
    """A progressive JPEG whose last scan stands there again and again."""
    whole = encoded(Image.new("RGB", (side, side), RED), "JPEG", progressive=True)
    last = whole.rfind(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


@pytest.mark.parametrize("kind", list(broken()))
def test_what_is_wrong_is_said(kind: str) -> None:
    data, told = broken()[kind]
    with pytest.raises(UnreadablePicture, match=told):
        open_picture(data)


def test_files_that_are_none_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path, told in (
        (tmp_path / "pipe.png", "not a file"),
        (tmp_path, "file"),
        (tmp_path / "gone", "No such"),
    ):
        with pytest.raises(UnreadablePicture, match=told):
            read_picture(path)


def test_sizes_are_looked_at_before_decoding() -> None:
    bomb = encoded(Image.new("1", (12_000, 12_000)), "PNG")
    assert len(bomb) < 50_000
    began = time.monotonic()
    with pytest.raises(UnreadablePicture, match="12000 x 12000 pixels"):
        open_picture(bomb)
    with pytest.raises(UnreadablePicture, match="at most 1,000 are read"):
        open_picture(encoded(halves(), "PNG"), max_pixels=1_000)
    assert time.monotonic() - began < 20
    assert MAX_PIXELS < 12_000**2


def test_any_damage_is_a_readable_error() -> None:
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "WEBP", "GIF", "TIFF", "PNG"):
        whole = np.frombuffer(encoded(halves(), kind), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[generator.integers(0, len(whole), 6)] = generator.integers(0, 256, 6)
            with suppress(UnreadablePicture):
                assert open_picture(damaged.tobytes()).mode == "RGB"


def test_another_process_gives_the_same_pixels_and_errors() -> None:
    for kind in ("EXIF 6", "half transparent"):
        data = KINDS[kind][0]
        np.testing.assert_array_equal(np.asarray(open_apart(data)), np.asarray(open_picture(data)))
    with pytest.raises(UnreadablePicture, match="web page"):
        open_apart(b"<html>")


def test_what_takes_long_or_much_is_ended() -> None:
    slow = many_scans(90, 4_000)
    began = time.monotonic()
    with pytest.raises(UnreadablePicture, match=r"more than 0\.2 seconds"):
        open_apart(slow, seconds=0.2)
    assert time.monotonic() - began < 20
    large = encoded(Image.new("RGBA", (9_000, 8_000)), "PNG", compress_level=1)
    code = (
        "import resource, sys; from crossrec.runtime import picture_process as apart;"
        "apart.BASE_BYTES, apart.BYTES_A_PIXEL = 450_000_000, 0; apart.main()"
    )
    request = b'{"max_pixels": 80000000, "formats": ["PNG"], "seconds": 60}\n'
    done = subprocess.run(
        [sys.executable, "-c", code], input=request + large, capture_output=True, timeout=120, check=False
    )
    assert done.returncode != 0 or b"more memory than there is" in done.stdout


def test_of_thousands_of_frames_one_is_opened() -> None:
    frames = [Image.new("P", (64, 64), number % 7) for number in range(2_000)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], optimize=False)
    began = time.process_time()
    assert open_picture(gif).size == (64, 64)
    assert time.process_time() - began < 2


def test_the_process_loads_no_framework() -> None:
    code = (
        "import sys, crossrec.runtime.picture_process;"
        "heavy = {'torch', 'pyarrow', 'datasets', 'scipy', 'polars'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
