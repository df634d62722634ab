"""Requests that come together are answered together, each with its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx
import pytest

from crossrec.server.batching import MicroBatcher
from crossrec.server.errors import Busy

Batches = list[tuple[str, list[int]]]


def run(
    body: Callable[[MicroBatcher[str, int, int], Batches], Awaitable[None]],
    *,
    size: int = 4,
    wait_s: float = 0.02,
    capacity: int = 100,
    work_s: float = 0.0,
) -> Batches:
    """Runs a test's body beside a batcher that squares numbers; gives the batches."""
    batches: Batches = []

    async def work(key: str, jobs: Sequence[int]) -> list[int]:
        batches.append((key, list(jobs)))
        await asyncio.sleep(work_s)
        if key == "bad":
            raise ValueError(key)
        return [job * job for job in jobs]

    async def main() -> None:
        batcher = MicroBatcher[str, int, int](work, size=size, wait_s=wait_s, capacity=capacity)
        running = asyncio.create_task(batcher.run())
        await asyncio.wait_for(body(batcher, batches), 10)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(main())
    return batches


def test_jobs_of_a_moment_are_one_batch_in_their_order() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        assert await asyncio.gather(*(batcher.submit("a", n) for n in range(4))) == [0, 1, 4, 9]

    assert run(body) == [("a", [0, 1, 2, 3])]


def test_batches_are_no_larger_than_they_may_be_and_lose_nothing() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        assert await asyncio.gather(*(batcher.submit("a", n) for n in range(11))) == [
            n * n for n in range(11)
        ]

    batches = run(body)
    assert [len(jobs) for _, jobs in batches] == [4, 4, 3]
    assert [job for _, jobs in batches for job in jobs] == list(range(11))


def test_keys_are_kept_apart_and_the_oldest_goes_first() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        await asyncio.gather(*(batcher.submit("ab"[n % 2], n) for n in range(6)))

    assert run(body) == [("a", [0, 2, 4]), ("b", [1, 3, 5])]


def test_a_lonely_job_waits_no_longer_than_it_should() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        assert await batcher.submit("a", 3) == 9
        assert await batcher.submit("a", 4) == 16

    assert run(body, size=50) == [("a", [3]), ("a", [4])]


def test_what_comes_while_a_batch_is_worked_on_is_the_next() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        first = asyncio.create_task(batcher.submit("a", 1))
        while not batches:
            await asyncio.sleep(0.001)
        await asyncio.gather(first, *(batcher.submit("a", n) for n in (2, 3)))

    assert run(body, wait_s=0.0, work_s=0.03) == [("a", [1]), ("a", [2, 3])]


def test_more_than_may_wait_are_sent_away() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        answers = await asyncio.gather(*(batcher.submit("a", n) for n in range(8)), return_exceptions=True)
        assert [isinstance(answer, Busy) for answer in answers] == [False] * 5 + [True] * 3
        assert await batcher.submit("a", 9) == 81

    run(body, capacity=5, work_s=0.01)


def test_an_error_goes_to_all_of_its_batch_and_to_no_other() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        answers = await asyncio.gather(
            *(batcher.submit(key, 2) for key in ("bad", "good", "bad")), return_exceptions=True
        )
        assert answers[1] == 4
        assert all(isinstance(answer, ValueError) for answer in answers[::2])

    run(body)


def test_jobs_that_nobody_waits_for_are_not_worked_on() -> None:
    async def body(batcher: MicroBatcher[str, int, int], batches: Batches) -> None:
        jobs = [asyncio.create_task(batcher.submit("a", n)) for n in range(3)]
        await asyncio.sleep(0)
        jobs[1].cancel()
        assert await asyncio.gather(jobs[0], jobs[2]) == [0, 4]
        alone = asyncio.create_task(batcher.submit("b", 1))
        await asyncio.sleep(0)
        alone.cancel()
        assert await batcher.submit("c", 5) == 25

    assert run(body) == [("a", [0, 2]), ("c", [5])]


@pytest.mark.parametrize("together", [1, 30])
def test_batched_lists_are_those_of_single_requests(
    serving: Callable[..., Any], fake_shop: Any, together: int
) -> None:
    requests = [{"history": [f"i{n}", f"i{(n * 7) % 38}"], "k": 5 + n % 2} for n in range(30)]

    async def ask(client: httpx.Client) -> list[Any]:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as many:
            gate = asyncio.Semaphore(together)

            async def one(request: dict[str, Any]) -> Any:
                async with gate:
                    return (await many.post("/api/recommend", json=request)).json()

            return await asyncio.gather(*(one(request) for request in requests))

    with serving(fake_shop, batch_wait_ms=50 if together > 1 else 0) as client:
        found = asyncio.run(ask(client))
    for request, answer in zip(requests, found, strict=True):
        expected = fake_shop.recommend_many(
            [request["history"]],
            times=None,
            k=request["k"],
            rerank=None,
            filters=(),
            context=None,
            exclude_seen=True,
            modalities=None,
        )[0]
        assert [place["item"]["item_id"] for place in answer["items"]] == expected.item_ids
        assert [place["score"] for place in answer["items"]] == pytest.approx(expected.scores, abs=1e-6)
    batches = fake_shop.batches[: -len(requests)]
    assert (max(batches) == 1) if together == 1 else (max(batches) > 1)
