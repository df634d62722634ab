"""Starts the server on a recommender."""

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
    """Answer requests until it is interrupted.

    Args:
        load: gives what is served. That takes a while, so that libraries and address are tried before.
        config: of the server.

    Raises:
        InputError: the server's libraries are not installed, or the address can't be used.
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
        # Going through a million objects of libraries stops all requests for half a second; they stay anyway.
        gc.collect()
        gc.freeze()
        with suppress(KeyboardInterrupt):
            server.run(sockets=[address])


def bound_socket(config: ServerConfig) -> socket.socket:
    """Return a socket with the server's address, on which nothing listens yet."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # With the protocol named: only then asyncio sets TCP_NODELAY. Without, each answer on a kept connection
    # waits for the client's delayed acknowledgement of the one before, some 40 ms.
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
            "listening on %s: whoever can reach it sees all users' clicks and can add items (no login)",
            config.host,
        )
    note = recommender.about.data_note
    show(f"Serving {recommender.name}" + (f" ({note})" if note else ""))
    address = _shown(config, port)
    show(f"Page: http://{address}/   API: http://{address}/docs   Ctrl+C ends it")


def _shown(config: ServerConfig, port: int) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{host}:{port}"
