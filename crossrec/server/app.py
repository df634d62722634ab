"""The server's application: routes, limits and the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from crossrec.server.config import ServerConfig
from crossrec.server.connections import KEEP_ALIVE_S, Connections, affordable
from crossrec.server.errors import add_error_handlers
from crossrec.server.limits import Guard, TimeLimit
from crossrec.server.metrics import Observed
from crossrec.server.routes import catalogue, common, recommending
from crossrec.server.service import Service
from crossrec.serving.loaded import LoadedRecommender

STATIC = Path(__file__).parent / "static"
UPLOADS = "/api/items"


def create_app(recommender: LoadedRecommender, config: ServerConfig) -> FastAPI:
    """Return the server's application.

    Args:
        recommender: served recommender; nothing else may change it from now on.
        config: limits, index, feedback log.

    Raises:
        InputError: if the feedback log or the account of exposure can't be written, or FAISS is needed and
            not installed.
    """
    service = Service(recommender, config)
    app = FastAPI(
        title="crossrec",
        description=f"Recommendations by {recommender.name}.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    add_error_handlers(app)
    for router in (common.router, recommending.router, catalogue.router):
        app.include_router(router)
    _add_page(app)

    def max_bytes(path: str) -> int:
        return config.max_upload_bytes if path == UPLOADS else config.max_body_bytes

    # The middleware added last is the outermost.
    app.add_middleware(Guard, hosts=config.allowed_hosts, max_bytes=max_bytes)
    app.add_middleware(TimeLimit, seconds=config.timeout_s)
    app.add_middleware(Observed, measures=service.measures)
    return app


def build_server(recommender: LoadedRecommender, config: ServerConfig) -> uvicorn.Server:
    """Return the application behind bounded HTTP connections; errors as in :func:`create_app`."""
    connections = Connections(
        most=affordable(config.connections),
        most_per_client=config.connections_per_client,
        head_s=config.head_s,
        request_s=config.timeout_s,
    )
    return uvicorn.Server(
        uvicorn.Config(
            create_app(recommender, config),
            http=connections.protocol(),  # type: ignore[arg-type]  # any callable that makes a protocol does
            ws="none",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=5,
        )
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    batches = asyncio.create_task(service.run())
    try:
        yield
    finally:
        batches.cancel()
        with suppress(asyncio.CancelledError):
            await batches
        service.thread.close()


def _add_page(app: FastAPI) -> None:
    """Add the page and the API documentation; neither loads anything from other hosts."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html", headers={"Cache-Control": "no-cache"})
