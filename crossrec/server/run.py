"""Starts the server on a recommender."""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING

from crossrec.experiment.tables import show
from crossrec.server.config import ServerConfig
from crossrec.types import InputError

if TYPE_CHECKING:
    from crossrec.serving.loaded import LoadedRecommender

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 15
CONNECTIONS = 1_024
"""Open connections at most; further ones are answered 503."""


def serve(recommender: LoadedRecommender, config: ServerConfig) -> None:
    """Answers requests until it is interrupted.

    Raises:
        InputError: the server's libraries are not installed, or the address can't be used.
    """
    try:
        import uvicorn

        from crossrec.server.app import create_app
    except ImportError as error:
        raise InputError(f"the server needs {error.name}: pip install 'crossrec[serve]'") from error
    app = create_app(recommender, config)
    if not config.local:
        log.warning(
            "listening on %s: whoever can reach it sees all users' clicks and can add items (no login)",
            config.host,
        )
    note = recommender.about.data_note
    show(f"Serving {recommender.name}" + (f" ({note})" if note else ""))
    show(f"Page: http://{_shown(config)}/   API: http://{_shown(config)}/docs   Ctrl+C ends it")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
            limit_concurrency=CONNECTIONS,
        )
    )
    # Going through a million objects of libraries stops all requests for half a second; they never go away.
    gc.collect()
    gc.freeze()
    try:
        server.run()
    except SystemExit as error:
        # Uvicorn has logged why, such as a port that is taken.
        raise InputError(f"can't listen on {_shown(config)}; choose another --port or --host") from error


def _shown(config: ServerConfig) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{host}:{config.port}"
