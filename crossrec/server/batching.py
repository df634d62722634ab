"""Micro-batches of requests, and the single thread in which the model works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from crossrec.server.errors import Busy

Key = TypeVar("Key", bound=Hashable)
Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Waiting(Generic[Job, Result]):
    """A job that waits for its batch.

    Args:
        job: input of the batch function.
        answer: future of the result; cancelled when nobody waits for it any more.
        since: time of arrival, in seconds of the event loop's clock.
    """

    job: Job
    answer: asyncio.Future[Result]
    since: float


class MicroBatcher(Generic[Key, Job, Result]):
    """Queue that gathers jobs with the same key for a moment and answers them together.

    While one batch is processed, the next one gathers; the oldest job's key goes first.

    Args:
        work: function of (key, jobs) that returns one result per job.
        size: maximum number of jobs in a batch.
        wait_s: seconds that the oldest job waits for others.
        capacity: maximum number of waiting jobs, over all keys.
    """

    def __init__(
        self,
        work: Callable[[Key, Sequence[Job]], Awaitable[Sequence[Result]]],
        *,
        size: int,
        wait_s: float,
        capacity: int,
    ) -> None:
        self._work = work
        self._size, self._wait_s, self._capacity = size, wait_s, capacity
        self._waiting: dict[Key, list[Waiting[Job, Result]]] = {}
        self._came = asyncio.Event()

    @property
    def depth(self) -> int:
        """Number of waiting jobs."""
        return sum(len(jobs) for jobs in self._waiting.values())

    async def submit(self, key: Key, job: Job) -> Result:
        """Queue a job and return its result.

        Raises:
            Busy: if the queue is full.
        """
        if self.depth >= self._capacity:
            raise Busy("too many requests are waiting; try again in a moment")
        loop = asyncio.get_running_loop()
        waiting = Waiting[Job, Result](job, loop.create_future(), loop.time())
        self._waiting.setdefault(key, []).append(waiting)
        self._came.set()
        return await waiting.answer

    async def run(self) -> None:
        """Process batches until cancelled."""
        while True:
            await self._came.wait()
            key = self._oldest_key()
            if key is None:
                self._came.clear()
                continue
            await self._gather(key)
            batch = self._take(key)
            if batch:
                await self._answer(key, batch)

    def _oldest_key(self) -> Key | None:
        return min(self._waiting, key=lambda key: self._waiting[key][0].since, default=None)

    async def _gather(self, key: Key) -> None:
        """Wait until the key's oldest job has waited ``wait_s`` or the batch is full."""
        until = self._waiting[key][0].since + self._wait_s
        while len(self._waiting[key]) < self._size:
            left = until - asyncio.get_running_loop().time()
            if left <= 0:
                return
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), left)
            except TimeoutError:
                self._came.set()
                return

    def _take(self, key: Key) -> list[Waiting[Job, Result]]:
        """Remove and return the oldest jobs of the key whose callers still wait."""
        alive = [waiting for waiting in self._waiting.pop(key) if not waiting.answer.done()]
        if alive[self._size :]:
            self._waiting[key] = alive[self._size :]
        return alive[: self._size]

    async def _answer(self, key: Key, batch: Sequence[Waiting[Job, Result]]) -> None:
        try:
            results = await self._work(key, [waiting.job for waiting in batch])
        except Exception as error:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            return
        for waiting, result in zip(batch, results, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(result)


class ModelThread:
    """Single thread for the model's work, outside the event loop.

    Adding items, masking modalities and taking gradients all change the model for a moment; in one thread
    no request can see another's change. PyTorch uses all cores within a piece of work.

    Args:
        waiting: maximum number of :meth:`call` that wait or run.
    """

    def __init__(self, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._free = waiting

    async def call(self, work: Callable[[], Result]) -> Result:
        """Run a function in the thread and return its result; dropped if the caller leaves before it begins.

        Raises:
            Busy: if too many calls wait.
        """
        if self._free == 0:
            raise Busy("too many slow requests are waiting; try again in a moment")
        self._free -= 1
        try:
            return await self.run(work)
        finally:
            self._free += 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run a function as :meth:`call` does, without a limit on waiting calls."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """End the thread after its current work."""
        self._executor.shutdown(wait=True, cancel_futures=True)
