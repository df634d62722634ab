"""Connections: how many there may be, how long a client may take, and which give way to others."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import json
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)
KEEP_ALIVE_S = 15
"""Seconds that a connection may stay open between two requests."""
LOOK_S = 0.5
"""Seconds between two looks at all connections."""
LINGER_S = 5.0
"""Seconds that a client has to fetch the rest of an answer before the connection is cut."""
RESERVED_FILES = 128
"""File descriptors that the server keeps for other things than connections."""


class Connections:
    """The connections of a server, within bounds.

    At the limit, a new connection takes the place of the one that has kept the server waiting longest, having
    sent nothing or a part of a request. Only where requests are being answered on all of them is the new one
    turned away, with 503. So neither silent nor slow clients shut others out.

    Args:
        most: connections in all.
        most_per_client: of one address (of one /64 network, for IPv6).
        head_s: seconds in which a request's head must arrive, from the connection's or its own first byte on.
        request_s: seconds from a request's head until its answer has left.
    """

    def __init__(self, *, most: int, most_per_client: int, head_s: float, request_s: float) -> None:
        self.most, self.most_per_client = most, most_per_client
        self.head_s, self.request_s = head_s, request_s
        self._open: dict[Connection, str] = {}
        self._looking: asyncio.TimerHandle | None = None

    def protocol(self) -> Callable[..., Connection]:
        """Return the protocol class that ``uvicorn.Config`` takes as ``http``."""
        return functools.partial(Connection, self)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Take a new connection in, in the place of another one if need be; False where there is none."""
        client = _client(connection)
        own = [other for other, name in self._open.items() if name == client]
        if len(own) >= self.most_per_client:
            room = self._make_room(own)
        else:
            room = len(self._open) < self.most or self._make_room(list(self._open))
        if room:
            self._open[connection] = client
            if self._looking is None:
                self._looking = connection.loop.call_later(LOOK_S, self._look)
        return room

    def release(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._open.pop(connection, None)

    def _make_room(self, among: list[Connection]) -> bool:
        waiting = [connection for connection in among if connection.waits_for_client]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda connection: connection.since)
        self.release(oldest)
        oldest.cut()
        return True

    def _look(self) -> None:
        """Close what took too long."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            connection.look(now)
        again = asyncio.get_running_loop().call_later
        self._looking = again(LOOK_S, self._look) if self._open else None


class Connection(H11Protocol):
    """One connection, which knows since when it waits for its client."""

    def __init__(self, connections: Connections, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._all = connections
        self.since = self.loop.time()
        self._began = False
        self._closing_since: float | None = None

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def waits_for_client(self) -> bool:
        """Whether no request is whole yet."""
        return not self._answering or self.cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit or reject the connection."""
        super().connection_made(transport)
        self._began = True
        if not self._all.admit(self):
            transport.write(_turned_away())
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the connection's place to others."""
        self._all.release(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note when a request begins and when its head is whole."""
        if self.transport.is_closing():
            return
        answering, cycle = self._answering, self.cycle
        if not answering and not self._began:
            self._began, self.since = True, self.loop.time()
        super().data_received(data)
        if self.cycle is not cycle:
            self.since = self.loop.time()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._began, self.since = False, self.loop.time()
        super().on_response_complete()

    def look(self, now: float) -> None:
        """Close the connection where its client, or its request, took too long."""
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > LINGER_S:
                self.cut()
        elif self._answering:
            if now - self.since > self._all.request_s + LINGER_S:
                self.cut()
        elif self._began and now - self.since > self._all.head_s:
            self.transport.close()

    def cut(self) -> None:
        """End the connection at once, whatever has not been sent."""
        self.transport.abort()


def _client(connection: Connection) -> str:
    """Return the address that connections are counted by."""
    host = connection.client[0] if connection.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _turned_away() -> bytes:
    body = json.dumps({"detail": "too many connections; try again in a moment", "errors": []}).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def affordable(most: int) -> int:
    """Connections that the process may open files for, ``most`` at most; raises the soft limit if it can."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + RESERVED_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        most = max(min(most, soft - RESERVED_FILES), 16)
        log.info("at most %d connections, by the limit of open files", most)
    return most
