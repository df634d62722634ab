"""Silent and slow clients, many of them, and requests that are not as they should be."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import pytest

from crossrec.server.config import ServerConfig
from crossrec.server.run import bound_socket

HALF = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
BODY = (
    b"POST /api/recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


@contextmanager
def opened(client: httpx.Client, beginnings: list[bytes]) -> Iterator[list[socket.socket]]:
    """Connections on which a beginning is sent, and nothing more."""
    with ExitStack() as stack:
        found = []
        for beginning in beginnings:
            address = (client.base_url.host, client.base_url.port)
            one = stack.enter_context(socket.create_connection(address, timeout=20))
            one.sendall(beginning)
            found.append(one)
        yield found


def closed(connection: socket.socket) -> bool:
    """Whether the server ends the connection, whatever it says before."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def cut_off_while_sending(connection: socket.socket, seconds: float) -> bool:
    """Whether the server ends the connection while a byte comes every tenth of a second."""
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            connection.sendall(b"x")
            time.sleep(0.1)
    except OSError:
        return True
    return False


def test_silent_clients_and_half_heads_are_closed(serving: Callable[..., Any], fake_shop: Any) -> None:
    with (
        serving(fake_shop, head_s=0.5, timeout_s=0.5) as client,
        opened(client, [b"", HALF, BODY] * 10) as connections,
    ):
        assert client.get("/health").status_code == 200
        assert all(closed(connection) for connection in connections)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(
    serving: Callable[..., Any], fake_shop: Any
) -> None:
    with serving(fake_shop, head_s=0.5) as client, opened(client, [HALF]) as (connection,):
        assert cut_off_while_sending(connection, 20)


@pytest.mark.parametrize(
    "limits", [{}, {"connections": 100, "connections_per_client": 10_000}], ids=["one address", "in all"]
)
def test_a_good_client_is_answered_beside_hundreds_that_say_nothing(
    serving: Callable[..., Any], fake_shop: Any, limits: dict[str, int]
) -> None:
    with (
        serving(fake_shop, head_s=60, **limits) as client,
        opened(client, [b"", HALF, BODY] * 110) as connections,
    ):
        with httpx.Client(base_url=client.base_url, timeout=10) as good:
            for _ in range(3):
                assert good.post("/api/recommend", json={"history": ["i1"]}).status_code == 200
        # The oldest of them gave way; the newest may still send the rest.
        assert closed(connections[0])
        connections[-2].sendall(b"\r\n\r\n")
        assert connections[-2].recv(64).startswith(b"HTTP/1.1 200")


def test_requests_that_are_answered_give_way_to_nobody(serving: Callable[..., Any], fake_shop: Any) -> None:
    def ask(client: httpx.Client, found: list[int]) -> None:
        while True:
            # Until its request is there, such a connection gives way to those that ask below.
            with suppress(httpx.TransportError), httpx.Client(base_url=client.base_url, timeout=30) as own:
                found.append(own.post("/api/recommend", json={"history": ["i1"]}).status_code)
                return

    with serving(fake_shop, connections_per_client=3) as client:
        fake_shop.gate.clear()
        found: list[int] = []
        threads = [threading.Thread(target=ask, args=(client, found)) for _ in range(3)]
        for thread in threads:
            thread.start()
        turned_away, until = None, time.monotonic() + 20
        while turned_away is None and time.monotonic() < until:
            # Before all three are there, this is answered on a connection of its own.
            with suppress(httpx.TransportError), httpx.Client(base_url=client.base_url, timeout=30) as late:
                answer = late.get("/health")
                turned_away = answer if answer.status_code == 503 else None
            time.sleep(0.05)
        fake_shop.gate.set()
        for thread in threads:
            thread.join()
        assert turned_away is not None
        assert "too many connections" in turned_away.json()["detail"]
        assert found == [200, 200, 200]


def test_small_answers_are_sent_at_once() -> None:
    """Without TCP_NODELAY each answer on a kept connection waits some 40 ms for an acknowledgement."""

    async def option() -> int:
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def met(reader: Any, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            found.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with bound_socket(ServerConfig(port=0)) as address:
            async with await asyncio.start_server(met, sock=address):
                _, writer = await asyncio.open_connection(*address.getsockname())
                writer.close()
                return await asyncio.wait_for(found, 10)

    assert asyncio.run(option()) != 0


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "[", "http://a]b", "//", "\xff"])
def test_an_origin_that_is_no_address_is_refused(client: httpx.Client, origin: str) -> None:
    vote = {"item_id": "i1", "vote": "up"}
    answer = client.post("/api/feedback", json=vote, headers={b"Origin": origin.encode("latin-1")})
    assert answer.status_code == 403


def test_a_host_that_is_no_address_breaks_nothing(serving: Callable[..., Any], fake_shop: Any) -> None:
    with serving(fake_shop, hosts=("[", "127.0.0.1")) as client:
        for method, path, status in (
            ("GET", "/health", 200),
            ("GET", "/nowhere", 404),
            ("DELETE", "/health", 405),
            ("GET", "/", 200),
            ("GET", "/static", 404),
            ("GET", "/static/", 404),
        ):
            assert client.request(method, path, headers={"Host": "["}).status_code == status


@pytest.mark.parametrize(
    "item_id",
    [".", "..", "a/../b", "../..", "100%", "%2e%2e", "%2F", "a#b?c&d=e", "two words", "x/image", "/", "+"],
)
def test_an_item_of_any_id_can_be_reached(
    serving: Callable[..., Any], fake_shop: Any, picture: Callable[..., bytes], item_id: str
) -> None:
    with serving(fake_shop) as client:
        files = {"image": ("a.png", picture(), "image/png")}
        added = client.post("/api/items", data={"item_id": item_id, "title": "x"}, files=files)
        assert added.status_code == 201
        card = client.get("/api/item", params={"item_id": item_id}).json()
        assert card["item_id"] == item_id
        assert client.get(card["image"]).headers["content-type"] == "image/jpeg"
        like = client.get("/api/similar", params={"item_id": item_id, "k": 3})
        assert len(like.json()["items"]) == 3
        asked = {"history": [item_id], "k": 2}
        assert len(client.post("/api/recommend", json=asked).json()["items"]) == 2
        assert client.get("/api/image", params={"item_id": item_id, "size": 128}).status_code == 200


def test_lists_are_no_longer_than_the_catalogue(serving: Callable[..., Any], fake_shop: Any) -> None:
    seen: list[int] = []
    plain, fake_shop._list = fake_shop._list, lambda scores, k: (seen.append(k), plain(scores, k))[1]
    with serving(fake_shop) as client:
        assert len(client.post("/api/recommend", json={"history": ["i1"], "k": 200}).json()["items"]) <= 40
        assert client.get("/api/similar/i2", params={"k": 200}).status_code == 200
        for k in (0, -1, 201, 1e9):
            assert client.post("/api/recommend", json={"history": ["i1"], "k": k}).status_code == 422
            assert client.get("/api/similar/i2", params={"k": int(k)}).status_code == 422
    assert max(seen) == 40
