"""The one thread in which the model works: two calls never meet, so nothing needs a lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from crossrec.server.errors import Busy

Result = TypeVar("Result")


class ModelThread:
    """Runs the model's work, one piece after the other, outside the event loop.

    Adding items, masking modalities and taking gradients all change the model for a moment; in one thread
    no request can see another's change. PyTorch uses all cores within a piece of work.

    Args:
        waiting: pieces of :meth:`call` that may wait or run.
    """

    def __init__(self, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._free = waiting

    async def call(self, work: Callable[[], Result]) -> Result:
        """What the work gives; work whose caller has gone before it began is dropped.

        Raises:
            Busy: too many pieces wait.
        """
        if self._free == 0:
            raise Busy("too many slow requests are waiting; try again in a moment")
        self._free -= 1
        try:
            return await self.run(work)
        finally:
            self._free += 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """The same without a bound of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def close(self) -> None:
        """Ends the thread after what it does now."""
        self._executor.shutdown(wait=True, cancel_futures=True)
