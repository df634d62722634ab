"""Configuration of the server, and the limits that its requests have."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field

from crossrec.config import Config

MAX_K = 200
"""Longest list that may be asked for."""
MAX_HISTORY = 500
"""Clicks that a request may name, and that are taken of a user's log: the latest."""
MAX_ID = 200
"""Characters of an item's or user's id."""
MAX_PAGE = 100
"""Items or users in one page of a search."""
MAX_WORDS = 200
"""Characters of a search."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class ServerConfig(Config):
    """How a recommender is served.

    Args:
        host: address to listen on; the loopback by default, so that nobody else can reach it.
        port: port to listen on.
        hosts: names under which browsers may reach it; those of the loopback, and anything where ``host``
            is another address, when empty.
        feedback_log: JSONL file that thumbs are appended to; none are kept when None.
        batch_size: requests scored in one call at most.
        batch_wait_ms: longest that a request waits for others, in milliseconds.
        queue: recommendation requests that may wait; further ones are told to come back.
        slow_queue: explanations and new items that may wait.
        timeout_s: seconds that a request may take.
        head_s: seconds in which a request's head must arrive.
        connections: open connections at most; one that waits for its client gives way to a new one.
        connections_per_client: of one address at most; raise it where all clients come through a proxy.
        max_body_bytes: size of a JSON body at most.
        max_upload_bytes: size of a body with a picture at most.
        max_pixels: width times height of a picture that is sent, before it is decoded.
        max_new_items: items that may be added while the server runs.
        faiss_from: catalogue size from which plain lists come from a FAISS index; exact below.
        faiss_recall: share of the exact lists that the index must find on sampled histories.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    hosts: tuple[str, ...] = ()
    feedback_log: Path | None = None
    batch_size: int = Field(default=64, ge=1, le=10_000_000)
    batch_wait_ms: float = Field(default=2.0, ge=0, le=1000)
    queue: int = Field(default=512, ge=1)
    slow_queue: int = Field(default=8, ge=1)
    timeout_s: float = Field(default=30.0, gt=0)
    head_s: float = Field(default=10.0, gt=0)
    connections: int = Field(default=1_024, ge=1)
    connections_per_client: int = Field(default=128, ge=1)
    max_body_bytes: int = Field(default=1_000_000, ge=1_000)
    max_upload_bytes: int = Field(default=10_000_000, ge=1_000)
    max_pixels: int = Field(default=40_000_000, ge=1)
    max_new_items: int = Field(default=1_000, ge=0)
    faiss_from: int = Field(default=200_000, ge=1)
    faiss_recall: float = Field(default=0.99, gt=0, le=1)

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names that requests may carry; empty for any."""
        return self.hosts or (LOCAL_NAMES if self.local else ())
