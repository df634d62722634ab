"""Items that are added while others ask: nobody sees half of a catalogue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx


def test_items_come_in_while_lists_are_made(serving: Callable[..., Any], fake_shop: Any) -> None:
    n_new = 12

    async def play(base_url: httpx.URL) -> tuple[list[httpx.Response], list[httpx.Response]]:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits) as client:
            adding = [
                client.post("/api/items", data={"item_id": f"n{n}", "title": f"red {n}"})
                for n in range(n_new)
            ]
            paths = [
                client.post("/api/recommend", json={"history": [f"i{n % 30}", "i3"], "k": 30})
                for n in range(60)
            ]
            paths += [client.get("/api/items", params={"q": "red", "limit": 100}) for _ in range(20)]
            paths += [
                client.post("/api/explain", json={"history": ["i2"], "item_id": "i5"}) for _ in range(5)
            ]
            done = await asyncio.gather(*adding, *paths)
            return list(done[:n_new]), list(done[n_new:])

    with serving(fake_shop, slow_queue=50) as client:
        added, others = asyncio.run(play(client.base_url))
        assert [answer.status_code for answer in added] == [201] * n_new
        assert {answer.status_code for answer in others} == {200}
        assert not fake_shop.met, "two calls of the model met"
        # Every new item is there, and the lists are those of the catalogue with all of them.
        total = client.get("/api/items", params={"q": "red", "limit": 100}).json()["total"]
        assert total == sum("red" in text for text in fake_shop.catalog.column("text").to_pylist())
        found = client.post("/api/recommend", json={"history": ["i3"], "k": n_new}).json()["items"]
        assert {place["item"]["item_id"] for place in found} >= {f"n{n}" for n in range(n_new - 2)}


def test_one_id_is_given_once_to_many_who_want_it(serving: Callable[..., Any], fake_shop: Any) -> None:
    async def play(base_url: httpx.URL) -> list[int]:
        async with httpx.AsyncClient(base_url=base_url, timeout=60) as client:
            posts = [client.post("/api/items", data={"item_id": "n", "title": f"{n}"}) for n in range(6)]
            return sorted(answer.status_code for answer in await asyncio.gather(*posts))

    with serving(fake_shop) as client:
        assert asyncio.run(play(client.base_url)) == [201, 409, 409, 409, 409, 409]
    assert fake_shop.n_items == 41


def test_an_item_is_added_whole_though_its_sender_waits_no_longer(
    serving: Callable[..., Any], fake_shop: Any
) -> None:
    with serving(fake_shop, timeout_s=1) as client:
        fake_shop.gate.clear()
        assert client.post("/api/items", data={"item_id": "n", "title": "red"}).status_code == 504
        assert client.get("/api/items/n").status_code == 404
        fake_shop.gate.set()
        while client.get("/api/items/n").status_code != 200:
            time.sleep(0.01)
        assert client.get("/api/model").json()["items"] == 41
