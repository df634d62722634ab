"""Middleware of every request: allowed hosts and origins, limits on size and time."""

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
    """Body above the size limit."""


class Guard:
    """Middleware that rejects unknown host names, changes requested by other sites' pages, and long bodies.

    A browser lets any page send forms to a server on the same machine, and a foreign host name may point to
    it (DNS rebinding); hence the checks of ``Host`` and, for changes, of ``Origin``.

    Args:
        app: wrapped application.
        hosts: allowed host names, without port; any when empty.
        max_bytes: function from path to the maximum size of a request's body, bytes.
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
        """Pass the request on; a body longer than declared is cut off."""
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
            # The framework's response to the truncated body is replaced by ours.
            if taken <= limit:
                started = True
                await send(message)

        with suppress(BodyTooLarge):
            await self._app(scope, counted, noted)
        if taken > limit and not started:
            await too_large(scope, receive, send)


class TimeLimit:
    """Middleware that responds with 504 to slow requests, and with 408 to bodies that don't arrive in time.

    Args:
        app: wrapped application.
        seconds: maximum time from the request's first byte to the response's first byte.
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
    """Return the declared size of the body in bytes; 0 if missing or invalid."""
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
