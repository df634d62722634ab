"""What surrounds every request: size and time limits, who may ask, headers, counts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossrec.server.errors import error_response
from crossrec.server.measures import Measures

log = logging.getLogger(__name__)

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer: nothing from elsewhere runs or loads, and no other page may show this one."""

READING = ("GET", "HEAD", "OPTIONS")
PROMETHEUS_UNMATCHED = "unmatched"


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
        """Passes the request on; a body that turns out longer than it said is cut off."""
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


class Observed:
    """Adds the headers of every answer and counts it.

    A bug becomes a 500 that the log explains; a request that takes longer than a server that ends waits for
    becomes a 503.

    Args:
        app: what is observed.
        measures: where it is counted.
    """

    def __init__(self, app: ASGIApp, *, measures: Measures) -> None:
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, dressed)
        except asyncio.CancelledError:
            # Only a server that ends cancels whole requests; what was begun to be sent is cut off.
            if not status:
                answer = error_response(503, "the server is shutting down", headers={"Connection": "close"})
                await answer(scope, receive, dressed)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if status:
                raise
            answer = error_response(500, "the server failed on this request; its log says where")
            await answer(scope, receive, dressed)
        finally:
            route = getattr(scope.get("route"), "path", PROMETHEUS_UNMATCHED)
            self._measures.requests.labels(_method(scope), route, str(status)).inc()
            self._measures.seconds.labels(route).observe(time.perf_counter() - began)


def _method(scope: Scope) -> str:
    """One of the known methods: what a client may invent must not become a label each."""
    known = (*READING, "POST", "PUT", "PATCH", "DELETE")
    return scope["method"] if scope["method"] in known else "other"


def _declared(headers: Headers) -> int:
    """Bytes that the body is said to have; 0 where that is not said, or nonsense."""
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _name(host: str) -> str:
    """A host without its port, in lower case."""
    return host.lower() if host.endswith("]") else host.lower().rpartition(":")[0] or host.lower()


def _same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    except ValueError:  # no address at all, such as "http://["
        return False
