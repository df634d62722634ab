"""Start of the server."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Callable
from contextlib import closing, suppress

from crossrec.experiment.results import show
from crossrec.server.config import ServerConfig
from crossrec.serving.loaded import LoadedRecommender
from crossrec.types import InputError

log = logging.getLogger(__name__)


def serve(load: Callable[[], LoadedRecommender], config: ServerConfig) -> None:
    """Serve requests until interrupted.

    Args:
        load: returns the recommender. Loading is slow, so libraries and address are checked before.
        config: configuration of the server.

    Raises:
        InputError: if the server's libraries are not installed, or the address can't be used.
    """
    try:
        import uvicorn  # noqa: F401  # named in the message where it lacks

        from crossrec.server.app import build_server

    except ImportError as error:
        raise InputError(f"the server needs {error.name}: pip install 'crossrec[serve]'") from error
    with closing(bound_socket(config)) as address:
        recommender = load()
        _announce(recommender, config, address.getsockname()[1])
        server = build_server(recommender, config)
        # Collecting garbage among a million library objects, which stay anyway, stops requests for 0.5 s.
        gc.collect()
        gc.freeze()
        with suppress(KeyboardInterrupt):
            server.run(sockets=[address])


def bound_socket(config: ServerConfig) -> socket.socket:
    """Return a socket bound to the server's address, not listening yet."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named. Without it, each response on a kept-alive
    # connection waits some 40 ms for the client's delayed acknowledgement of the previous one.
    address = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        address.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address.bind((config.host, config.port))
    except OSError as error:
        address.close()
        shown = _shown(config, config.port)
        raise InputError(
            f"can't listen on {shown} ({error.strerror}); choose another --port or --host"
        ) from error
    return address


def _announce(recommender: LoadedRecommender, config: ServerConfig, port: int) -> None:
    if not config.local:
        log.warning(
            "listening on %s: anyone who can reach it sees all users' clicks and can add items (no login)",
            config.host,
        )
    note = recommender.about.data_note
    show(f"Serving {recommender.name}" + (f" ({note})" if note else ""))
    address = _shown(config, port)
    show(f"Page: http://{address}/   API: http://{address}/docs   Ctrl+C to stop")


def _shown(config: ServerConfig, port: int) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{host}:{port}"
