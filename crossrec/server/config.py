"""Configuration of the server, and limits on its requests."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field

from crossrec.config import Config
from crossrec.runtime.vector_codes import VectorCode

MAX_K = 200
"""Maximum length of a list."""
MAX_HISTORY = 500
"""Maximum number of clicks in a request; of a user's log, the latest are used."""
MAX_ID = 200
"""Maximum length of an item or user id, characters."""
MAX_PAGE = 100
"""Maximum number of items or users in one page of a search."""
MAX_WORDS = 200
"""Maximum length of a search, characters."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class ServerConfig(Config):
    """Configuration of the server.

    Args:
        host: address to listen on; the loopback by default, which no other machine can reach.
        port: port to listen on.
        hosts: allowed host names; when empty, those of the loopback, or any name if ``host`` is another
            address.
        feedback_log: JSONL file to which thumbs are appended; they are not stored when None.
        exposure_account: SQLite file with the account of a quota in the run's reranking, which several
            servers may share; in memory, until the server stops, when None.
        batch_size: maximum number of requests scored in one call.
        batch_wait_ms: maximum time that a request waits for others, in milliseconds.
        queue: maximum number of waiting recommendation requests; further ones get status 503.
        slow_queue: maximum number of waiting explanations and new items.
        timeout_s: maximum time of a request, in seconds.
        head_s: time within which a request's head must arrive, in seconds.
        connections: maximum number of open connections; those waiting for clients give way to new ones.
        connections_per_client: maximum per address; raise it where all clients come through a proxy.
        max_body_bytes: maximum size of a JSON body.
        max_upload_bytes: maximum size of a body with a picture.
        max_pixels: maximum width times height of an uploaded picture, checked before decoding.
        max_new_items: maximum number of items that may be added while the server runs.
        faiss_from: catalogue size from which plain lists come from a FAISS index; exact below.
        faiss_recall: recall of the exact lists that the index must reach on sampled histories; of compressed
            vectors, as a share of what a search of all of them finds.
        faiss_vectors: vectors in the index: ``float32``, ``int8`` (a quarter of the memory) or ``pq``
            (product quantization, about a sixteenth).
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    hosts: tuple[str, ...] = ()
    feedback_log: Path | None = None
    exposure_account: Path | None = None
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
    faiss_vectors: VectorCode = "float32"

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
        """Allowed host names of requests; empty for any."""
        return self.hosts or (LOCAL_NAMES if self.local else ())
