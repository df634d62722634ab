"""Limits on connections: their number, the time a client may take, and which give way to others."""

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
"""Maximum time that a connection stays open between two requests, seconds."""
LOOK_S = 0.5
"""Interval of checks of all connections, seconds."""
LINGER_S = 5.0
"""Time for a client to fetch the rest of a response before the connection is closed, seconds."""
RESERVED_FILES = 128
"""File descriptors reserved for other uses than connections."""


class Connections:
    """Bounded set of a server's connections.

    At the limit, a new connection replaces the one that has kept the server waiting longest, having sent
    nothing or a part of a request. It is rejected with 503 only if all connections have requests in
    progress. So neither silent nor slow clients shut others out.

    Args:
        most: maximum number of connections.
        most_per_client: maximum per address (per /64 network for IPv6).
        head_s: time within which a request's head must arrive, in seconds from the connection's start or
            the head's first byte.
        request_s: maximum time from a request's head until its response is sent, seconds.
    """

    def __init__(self, *, most: int, most_per_client: int, head_s: float, request_s: float) -> None:
        self.most, self.most_per_client = most, most_per_client
        self.head_s, self.request_s = head_s, request_s
        self._open: dict[Connection, str] = {}
        self._looking: asyncio.TimerHandle | None = None

    def protocol(self) -> Callable[..., Connection]:
        """Return the protocol class for ``uvicorn.Config(http=...)``."""
        return functools.partial(Connection, self)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Admit a new connection, replacing another one if needed; False if none can be replaced."""
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
        """Remove a closed connection."""
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
        """Close connections whose time is up."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            connection.look(now)
        again = asyncio.get_running_loop().call_later
        self._looking = again(LOOK_S, self._look) if self._open else None


class Connection(H11Protocol):
    """Connection that records since when it waits for its client."""

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
        """Whether no request is complete yet."""
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
        """Record when a request begins and when its head is complete."""
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
        """Close the connection if its client or its request took too long."""
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
        """Close the connection at once, discarding unsent data."""
        self.transport.abort()


def _client(connection: Connection) -> str:
    """Return the address by which connections are counted."""
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
    """Return how many of ``most`` connections the file limit allows; raise the soft limit if possible."""
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
        log.info("at most %d connections: limited by the number of open files", most)
    return most
