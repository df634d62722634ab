"""Pictures that are sent: opened apart, as training sees them; nothing but their pixels is kept."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from crossrec.runtime.picture_process import open_apart
from crossrec.runtime.pictures import MAX_SIDE, open_picture
from crossrec.server import pictures
from crossrec.server.errors import Busy
from crossrec.server.pictures import AT_ONCE, WAITING, SentPictures, checked_picture
from crossrec.types import InputError

MOST = 10_000_000


def opened(content: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def test_pictures_are_kept_without_loss_no_larger_than_needed(picture: Callable[..., bytes]) -> None:
    sent = picture("red", (3000, 1500), "JPEG")
    kept = opened(checked_picture(sent, MOST))
    assert (kept.format, kept.mode, kept.size) == ("PNG", "RGB", (MAX_SIDE, MAX_SIDE // 2))
    np.testing.assert_array_equal(np.asarray(kept), np.asarray(open_picture(sent)))


def test_a_picture_taken_sideways_is_turned_and_its_place_forgotten() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(buffer, "JPEG", exif=exif)
    kept = opened(checked_picture(buffer.getvalue(), MOST))
    assert kept.size == (20, 40)
    assert not kept.getexif()
    assert not kept.info


def test_what_is_no_picture_or_half_of_one_is_refused(picture: Callable[..., bytes]) -> None:
    whole = picture("blue", (200, 200), "JPEG")
    for content in (b"text", whole[:400], picture(kind="BMP")):
        with pytest.raises(InputError, match="picture"):
            checked_picture(content, MOST)
    with pytest.raises(InputError, match="200 x 200 pixels; at most 9,999"):
        checked_picture(whole, 9_999)


def test_few_are_opened_at_once_and_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, most = asyncio.Event(), 0

    async def run() -> list[object]:
        sent = SentPictures(MOST)
        reading = 0

        async def read() -> bytes:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            await gate.wait()
            reading -= 1
            return b"x"

        monkeypatch.setattr(pictures, "checked_picture", lambda content, max_pixels: content)
        tasks = [asyncio.create_task(sent.take(read)) for _ in range(AT_ONCE + WAITING + 3)]
        await asyncio.sleep(0.05)
        gate.set()
        found: list[object] = list(await asyncio.gather(*tasks, return_exceptions=True))
        assert await sent.take(read) == b"x"
        return found

    found = asyncio.run(run())
    assert most == AT_ONCE
    assert found.count(b"x") == AT_ONCE + WAITING
    assert sum(isinstance(one, Busy) for one in found) == 3


def test_a_server_goes_on_after_pictures_that_attack_it(
    serving: Callable[..., Any],
    fake_shop: Any,
    picture: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4_000, 4_000), "red").save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole.rfind(b"\xff\xda")
    scans, slow = (whole[:last] + whole[last:-2] * count + whole[-2:] for count in (5_000, 85))
    bomb = picture("red", (7_000, 7_000), "PNG")

    def send(client: httpx.Client, name: str, content: bytes) -> httpx.Response:
        files = {"image": ("x.jpg", content, "image/jpeg")}
        return client.post("/api/items", data={"item_id": name, "title": "x"}, files=files)

    with serving(fake_shop) as client:
        for name, content in (("scans", scans), ("slow", slow), ("bomb", bomb), ("page", b"<html>")):
            if name == "slow":
                monkeypatch.setattr(pictures, "open_apart", partial(open_apart, seconds=0.3))
            answer = send(client, name, content)
            monkeypatch.undo()
            assert answer.status_code == 415, name
            assert "the picture can't be read" in answer.json()["detail"]
            assert client.get("/api/items", params={"q": "thing"}).status_code == 200
        assert send(client, "good", picture("blue")).status_code == 201
