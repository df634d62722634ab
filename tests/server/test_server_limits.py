"""Sizes, times, queues, and who may ask."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from crossrec.server.config import ServerConfig
from crossrec.server.metrics import Observed, ServerMetrics


def test_long_bodies_are_refused_said_or_not(serving: Callable[..., Any], fake_shop: Any) -> None:
    def chunks() -> Iterator[bytes]:
        # The start of a form, lest it be refused for what it says before it is too long.
        yield b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\n'
        yield from [b" " * 1000] * 30

    with serving(fake_shop, max_body_bytes=5_000, max_upload_bytes=20_000) as client:
        for path, fits, long in (("/api/recommend", 4_000, 5_001), ("/api/items", 15_000, 20_001)):
            assert client.post(path, content=b" " * fits).status_code in (400, 422)
            answer = client.post(path, content=b" " * long)
            assert (answer.status_code, set(answer.json())) == (413, {"detail", "errors"})
            kind = {
                "Content-Type": "multipart/form-data; boundary=x" if "items" in path else "application/json"
            }
            assert client.post(path, content=chunks(), headers=kind).status_code == 413
        assert client.get("/health").status_code == 200


def test_slow_work_is_a_504_and_does_not_block_what_comes_after(
    serving: Callable[..., Any], fake_shop: Any
) -> None:
    with serving(fake_shop, timeout_s=1) as client:
        fake_shop.gate.clear()
        assert client.post("/api/recommend", json={"history": ["i1"]}).status_code == 504
        assert client.get("/health").status_code == 200
        fake_shop.gate.set()
        assert client.post("/api/recommend", json={"history": ["i1"]}).status_code == 200


def test_a_body_that_does_not_come_is_a_408(serving: Callable[..., Any], fake_shop: Any) -> None:
    head = b"POST /api/recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with (
        serving(fake_shop, timeout_s=0.3) as client,
        socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection,
    ):
        connection.sendall(head + b"Content-Length: 100\r\n\r\n{")
        assert connection.recv(64).startswith(b"HTTP/1.1 408")


def test_full_queues_send_clients_away_for_a_moment(serving: Callable[..., Any], fake_shop: Any) -> None:
    async def ask(client: httpx.Client, path: str, body: dict[str, Any]) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as together:
            asked = [asyncio.create_task(together.post(path, json=body)) for _ in range(12)]
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            fake_shop.gate.set()
            return await asyncio.gather(*asked)

    with serving(fake_shop, queue=3, slow_queue=3, batch_size=1) as client:
        cases: dict[str, dict[str, Any]]
        cases = {"/api/recommend": {"history": ["i1"]}, "/api/explain": {"history": ["i1"], "item_id": "i2"}}
        for path, body in cases.items():
            fake_shop.gate.clear()
            answers = asyncio.run(ask(client, path, body))
            found = [answer.status_code for answer in answers]
            assert set(found) == {200, 503}
            assert found.count(200) >= 3
            assert all(a.headers["retry-after"] == "1" for a in answers if a.status_code == 503)
        assert client.post("/api/recommend", json={"history": ["i1"]}).status_code == 200


def test_pictures_with_too_many_pixels_are_not_decoded(
    serving: Callable[..., Any], fake_shop: Any, picture: Callable[..., bytes]
) -> None:
    buffer = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(buffer, "PNG")
    bomb = buffer.getvalue()
    assert len(bomb) < 100_000
    with serving(fake_shop, max_pixels=10_000) as client:
        data = {"item_id": "n", "title": "x"}
        for content in (bomb, picture(size=(101, 100))):
            answer = client.post("/api/items", data=data, files={"image": ("a.png", content, "image/png")})
            assert answer.status_code == 415
            assert "pixels" in answer.json()["detail"]
        files = {"image": ("a.png", picture(size=(100, 100)), "image/png")}
        assert client.post("/api/items", data=data, files=files).status_code == 201


def test_only_so_many_items_may_be_added(serving: Callable[..., Any], fake_shop: Any) -> None:
    with serving(fake_shop, max_new_items=2) as client:
        found = [
            client.post("/api/items", data={"item_id": f"n{n}", "title": "x"}).status_code for n in range(3)
        ]
    assert found == [201, 201, 409]


def test_other_sites_and_other_names_are_refused(client: httpx.Client) -> None:
    vote = {"item_id": "i1", "vote": "up"}
    own = f"http://{client.base_url.netloc.decode()}"
    for origin, status in ((own, 200), ("https://example.org", 403), ("null", 403), (own + "1", 403)):
        assert client.post("/api/feedback", json=vote, headers={"Origin": origin}).status_code == status
    # A stranger's name that points to this machine.
    for host, status in (("localhost:1", 200), ("[::1]", 200), ("evil.example", 400), ("", 400)):
        assert client.get("/api/model", headers={"Host": host}).status_code == status


def test_who_can_reach_the_server_goes_by_the_address() -> None:
    assert ServerConfig().local
    assert ServerConfig(host="::1").allowed_hosts == ServerConfig().allowed_hosts != ()
    assert not ServerConfig(host="0.0.0.0").local
    assert ServerConfig(host="0.0.0.0").allowed_hosts == ()
    assert ServerConfig(host="0.0.0.0", hosts=("shop.lan",)).allowed_hosts == ("shop.lan",)


@pytest.mark.parametrize("body", [{"history": ["i1"]}, {"user_id": "u2", "history": ["i1"]}])
def test_whoever_goes_away_leaves_no_work_behind(
    serving: Callable[..., Any], fake_shop: Any, body: dict[str, Any]
) -> None:
    async def ask(client: httpx.Client) -> set[int]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as together:
            answers = await asyncio.gather(*(together.post("/api/recommend", json=body) for _ in range(10)))
            return {answer.status_code for answer in answers}

    with serving(fake_shop, batch_size=1, timeout_s=1) as client:
        fake_shop.gate.clear()
        assert asyncio.run(ask(client)) == {504}
        fake_shop.gate.set()
        assert client.post("/api/recommend", json=body).status_code == 200
    # The one that was begun, and the last one; nobody waited for the others any more.
    assert fake_shop.batches == [1, 1]


@pytest.mark.parametrize("begun", [False, True])
def test_a_request_that_the_server_s_end_cuts_off_is_a_503_or_ends_quietly(begun: bool) -> None:
    sent: list[Any] = []
    start = {"type": "http.response.start", "status": 200, "headers": []}

    async def send(message: Any) -> None:
        sent.append(message)

    async def endless(scope: Any, receive: Any, answer: Any) -> None:
        if begun:
            await answer(start)
        await asyncio.Event().wait()

    async def cut_off() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        request = asyncio.create_task(Observed(endless, measures=ServerMetrics())(scope, None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        request.cancel()
        await request

    asyncio.run(cut_off())
    assert sent[0]["status"] == (200 if begun else 503)
    assert [message["type"] for message in sent[1:]] == ([] if begun else ["http.response.body"])
