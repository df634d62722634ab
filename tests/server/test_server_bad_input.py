"""Nothing that a client sends makes the server fail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from crossrec.server.errors import MAX_MESSAGE

H = {"history": ["i1"]}
LONE_SURROGATE = b'{"history": ["\\ud800"], "k": 3}'

WRONG_JSON = {
    "no JSON": (b"{history: []}", 400),
    "nothing": (b"", 422),
    "cut off": (b'{"history": ["i1"', 400),
    "not UTF-8": (b'{"history": ["\xff\xfe"]}', 400),
    "deep": (b"[" * 50_000, 400),
    "a huge number": (b'{"k": ' + b"9" * 5_000 + b"}", 400),
    "a list": (b"[]", 422),
    "null": (b"null", 422),
    "half of a character": (LONE_SURROGATE, 422),
    "half of a character in a rule": (
        b'{"history": ["i1"], "filters": [{"column": "brand", "equals": "\\ud800"}]}',
        422,
    ),
    "half of a character as a key": (b'{"\\ud800": 1}', 422),
    "NaN": (b'{"history": ["i1"], "filters": [{"column": "price", "minimum": NaN}]}', 422),
    "infinity": (b'{"history": ["i1"], "rerank": {"type": "mmr", "diversity": 1e999}}', 422),
}

WRONG_REQUESTS: dict[str, tuple[dict[str, Any], int]] = {
    "unknown key": ({**H, "histroy": []}, 422),
    "history a text": ({"history": "i1"}, 422),
    "history of numbers": ({"history": [1]}, 422),
    "unknown item": ({"history": ["nope"]}, 404),
    "blank item": ({"history": [""]}, 422),
    "long id": ({"history": ["x" * 201]}, 422),
    "long history": ({"history": ["i1"] * 501}, 422),
    "unknown user": ({"user_id": "nope"}, 404),
    "k zero": ({**H, "k": 0}, 422),
    "k negative": ({**H, "k": -1}, 422),
    "k huge": ({**H, "k": 10**9}, 422),
    "k a text": ({**H, "k": "10"}, 422),
    "k true": ({**H, "k": True}, 422),
    "k a fraction": ({**H, "k": 1.5}, 422),
    "unknown reranker": ({**H, "rerank": {"type": "nope"}}, 422),
    "reranker by name": ({**H, "rerank": "nope"}, 422),
    "a class to import": ({**H, "rerank": {"type": "os:system"}}, 422),
    "rules as a reranker": ({**H, "rerank": {"type": "context", "column": "brand"}}, 422),
    "reranker without a type": ({**H, "rerank": {"diversity": 0.5}}, 422),
    "unknown option": ({**H, "rerank": {"type": "mmr", "lambda": 0.5}}, 422),
    "option of a wrong type": ({**H, "rerank": {"type": "dpp", "window": "all"}}, 422),
    "nested option": ({**H, "rerank": {"type": "mmr", "space": {"a": []}}}, 422),
    "diversity beyond 1": ({**H, "rerank": {"type": "mmr", "diversity": 1.01}}, 422),
    "no reranking of the run's own": ({**H, "rerank": "run"}, 404),
    "unknown modality": ({**H, "modalities": ["smell"]}, 404),
    "no modality": ({**H, "modalities": []}, 422),
    "unknown column": ({**H, "filters": [{"column": "nope", "equals": 1}]}, 404),
    "where pictures lie": ({**H, "filters": [{"column": "image_path", "minimum": "/"}]}, 404),
    "filter without a test": ({**H, "filters": [{"column": "price"}]}, 422),
    "filter with two tests": ({**H, "filters": [{"column": "price", "equals": 1, "minimum": 2}]}, 422),
    "unknown space": ({**H, "rerank": {"type": "mmr", "space": "nope"}}, 404),
    "unknown context": ({**H, "context": {"nope": 1}}, 404),
    "hidden and unknown": ({**H, "exclude": ["nope"]}, 404),
}

WRONG_ADDRESSES = {
    "/api/items/nope": 404,
    "/api/items/nope/image": 404,
    "/api/items/i2/image?size=257": 422,
    "/api/items?limit=0": 422,
    "/api/items?limit=101": 422,
    "/api/items?limit=x": 422,
    "/api/items?offset=-1": 422,
    "/api/items?offset=1" + "0" * 30: 422,
    "/api/items?q=" + "x" * 201: 422,
    "/api/items/%ff%fe": 404,
    "/api/items/%00": 404,
    "/api/users/nope": 404,
    "/api/users?limit=1.5": 422,
    "/api/similar/nope": 404,
    "/api/similar/i1?k=0": 422,
    "/api/similar/i1?space=nope": 422,
    "/api/similar/i1?space=image": 404,
    "/api/nope": 404,
    "/api/recommend": 405,
}


def check(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"detail", "errors"}
    assert 0 < len(body["detail"]) <= MAX_MESSAGE


@pytest.mark.parametrize("name", WRONG_JSON)
def test_bodies_that_are_no_request(client: httpx.Client, name: str) -> None:
    body, status = WRONG_JSON[name]
    check(client.post("/api/recommend", content=body, headers={"Content-Type": "application/json"}), status)


@pytest.mark.parametrize("name", WRONG_REQUESTS)
def test_requests_that_do_not_fit(client: httpx.Client, name: str) -> None:
    request, status = WRONG_REQUESTS[name]
    check(client.post("/api/recommend", json=request), status)


@pytest.mark.parametrize("address", WRONG_ADDRESSES)
def test_addresses_that_lead_nowhere(client: httpx.Client, address: str) -> None:
    check(client.get(address), WRONG_ADDRESSES[address])


def test_explaining_needs_clicks_and_known_items(client: httpx.Client) -> None:
    check(client.post("/api/explain", json={"item_id": "i1"}), 404)
    check(client.post("/api/explain", json={"item_id": "nope", "history": ["i1"]}), 404)
    check(client.post("/api/explain", json={"history": ["i1"]}), 422)


def test_a_thumb_needs_a_known_item_and_a_vote(client: httpx.Client) -> None:
    check(client.post("/api/feedback", json={"item_id": "nope", "vote": "up"}), 404)
    check(client.post("/api/feedback", json={"item_id": "i1", "vote": "sideways"}), 422)
    check(client.post("/api/feedback", json={"item_id": "i1", "vote": "up", "user_id": "nope"}), 404)
    check(client.post("/api/feedback", json={"item_id": "i1", "vote": "up", "shown": ["nope"]}), 404)


WRONG_ITEMS: dict[str, tuple[dict[str, str], int]] = {
    "no id": ({"title": "x"}, 422),
    "blank id": ({"item_id": "  ", "title": "x"}, 422),
    "control character": ({"item_id": "a\nb", "title": "x"}, 422),
    "long id": ({"item_id": "x" * 201, "title": "x"}, 422),
    "id that is taken": ({"item_id": "i1", "title": "x"}, 409),
    "blank title": ({"item_id": "n", "title": "  "}, 422),
    "no title": ({"item_id": "n", "text": "x"}, 422),
    "price no number": ({"item_id": "n", "title": "x", "price": "cheap"}, 422),
    "price not a number": ({"item_id": "n", "title": "x", "price": "nan"}, 422),
    "negative price": ({"item_id": "n", "title": "x", "price": "-1"}, 422),
    "price without end": ({"item_id": "n", "title": "x", "price": "inf"}, 422),
    "many categories": (
        {"item_id": "n", "title": "x", "categories": "a,b," + ",".join(map(str, range(30)))},
        422,
    ),
    "long title": ({"item_id": "n", "title": "x" * 501}, 422),
}


@pytest.mark.parametrize("name", WRONG_ITEMS)
def test_new_items_that_do_not_fit(client: httpx.Client, name: str) -> None:
    data, status = WRONG_ITEMS[name]
    check(client.post("/api/items", data=data), status)


def test_new_items_with_files_that_are_no_pictures(
    client: httpx.Client, picture: Callable[..., bytes]
) -> None:
    data = {"item_id": "n", "title": "x"}
    for content in (b"<svg/>", b"GIF89a", picture()[:60], b"\xff\xd8\xff" + b"0" * 100):
        check(client.post("/api/items", data=data, files={"image": ("a.jpg", content, "image/jpeg")}), 415)
    # A text where a file belongs, and JSON where a form belongs.
    check(client.post("/api/items", data={**data, "image": "/etc/passwd"}), 422)
    check(client.post("/api/items", json={"item_id": "n"}), 422)
    check(client.post("/api/items", content=b"x", headers={"Content-Type": "multipart/form-data"}), 400)
    assert client.get("/api/items/n").status_code == 404


def test_bytes_that_are_not_http(client: httpx.Client) -> None:
    for line in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"G" * 100_000 + b"\r\n\r\n"):
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection:
            connection.sendall(line)
            assert connection.recv(64).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert client.get("/health").status_code == 200


def test_a_bug_is_a_500_that_tells_nothing(
    serving: Callable[..., Any], fake_shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("secret")

    fake_shop.similar = broken
    with serving(fake_shop) as client:
        answer = client.get("/api/similar/i1")
        check(answer, 500)
        assert "secret" not in answer.text
        assert "default-src" in answer.headers["content-security-policy"]
        assert client.get("/health").status_code == 200
    assert "secret" in caplog.text


def test_good_and_bad_requests_at_once_get_what_each_deserves(client: httpx.Client) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as together:
            cases: list[dict[str, Any]] = [
                ({"history": [f"i{n % 30}"]}, {"history": ["nope"]}, {"k": []})[n % 3] for n in range(60)
            ]
            answers = await asyncio.gather(*(together.post("/api/recommend", json=case) for case in cases))
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200, 404, 422] * 20
