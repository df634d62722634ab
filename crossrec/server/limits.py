"""What surrounds every request: size and time limits, who may ask, headers, counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec.server.errors import error_response

log = logging.getLogger(__name__)
READING = ("GET", "HEAD", "OPTIONS")


class BodyTooLarge(Exception):
    """The body is longer than it may be."""


class Guard:
    """Refuses requests for names that are not ours, changes that another site's page asks for, long bodies.

    A browser lets any page send forms to a server on the same machine, and a name that a stranger controls
    may point to it: so the server checks ``Host``, and for changes ``Origin``.

    Args:
        app: what is guarded.
        hosts: names that requests may carry, without port; any when empty.
        max_bytes: path -> bytes of a request's body at most.
    """

    def __init__(self, app: ASGIApp, *, hosts: tuple[str, ...], max_bytes: Callable[[str], int]) -> None:
        self._app, self._hosts, self._max_bytes = app, hosts, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._max_bytes(scope["path"])
        too_large = error_response(
            413, f"the body is larger than {limit:,} bytes", headers={"Connection": "close"}
        )
        if self._hosts and _name(headers.get("host", "")) not in self._hosts:
            await error_response(
                400, f"this server is called {', '.join(self._hosts)}; see crossrec serve --name"
            )(scope, receive, send)
        elif scope["method"] not in READING and not _same_origin(headers):
            await error_response(403, "pages of other sites may not change anything here")(
                scope, receive, send
            )
        elif _declared(headers) > limit:
            await too_large(scope, receive, send)
        else:
            await self._bounded(scope, receive, send, limit, too_large)

    async def _bounded(
        self, scope: Scope, receive: Receive, send: Send, limit: int, too_large: ASGIApp
    ) -> None:
        """Pass the request on; a body that turns out longer than it said is cut off."""
        taken, started = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > limit:
                    raise BodyTooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            # An answer that the framework gives to the broken-off body gives way to our own.
            if taken <= limit:
                started = True
                await send(message)

        with suppress(BodyTooLarge):
            await self._app(scope, counted, noted)
        if taken > limit and not started:
            await too_large(scope, receive, send)


class TimeLimit:
    """Answers 504 where a request takes too long, and 408 where its body did not come in time.

    Args:
        app: what is bounded.
        seconds: from the first byte of the request to the first byte of the answer.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, complete = False, False

        async def watched() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or not message.get("more_body", False)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, watched, noted)
        except TimeoutError:
            if started:
                raise
            reading = not complete and _declared(Headers(scope=scope)) > 0
            status = 408 if reading else 504
            text = "the body did not arrive in time" if reading else "this took too long"
            answer = error_response(
                status, f"{text} ({self._seconds:g} seconds)", headers={"Connection": "close"}
            )
            await answer(scope, receive, send)


def _declared(headers: Headers) -> int:
    """Return bytes that the body is said to have; 0 where that is not said, or nonsense."""
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _name(host: str) -> str:
    """Return a host without its port, in lower case."""
    return host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()


def _same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:  # no address at all, such as "http://["
        return False
