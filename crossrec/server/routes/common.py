"""Parameters and errors that routes share, and the endpoints that describe the server."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from crossrec.server.config import MAX_ID, MAX_PAGE, MAX_WORDS
from crossrec.server.errors import ErrorBody
from crossrec.server.schemas import HealthResponse, ModelResponse
from crossrec.server.service import Service

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "not JSON, or not for this server"},
    422: {"model": ErrorBody, "description": "a field is missing, unknown or not as it must be"},
    503: {"model": ErrorBody, "description": "too much waits; try again after Retry-After seconds"},
    504: {"model": ErrorBody, "description": "it took too long"},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "an item, user or column that is not there"}
}
NOT_KEPT: dict[int | str, dict[str, Any]] = {
    507: {"model": ErrorBody, "description": "it could not be written, such as on a full disk"}
}
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorBody, "description": "asked for by another site's page"},
    408: {"model": ErrorBody, "description": "the body did not arrive in time"},
    413: {"model": ErrorBody, "description": "the body is too large"},
}


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]
ItemPath = Annotated[str, Path(min_length=1, max_length=MAX_ID, description="the item's id")]
ItemQuery = Annotated[
    str, Query(min_length=1, max_length=MAX_ID, description="the item's id, whatever it holds")
]
UserQuery = Annotated[
    str, Query(min_length=1, max_length=MAX_ID, description="the user's id, whatever it holds")
]
UserPath = Annotated[str, Path(min_length=1, max_length=MAX_ID, description="the user's id")]
Words = Annotated[str, Query(max_length=MAX_WORDS, description="words, or parts of words")]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="matches to leave out")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="matches to give")]
router = APIRouter(tags=["about"])


@router.get("/health")
async def health() -> HealthResponse:
    """Answer as soon as the server takes requests."""
    return HealthResponse()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
async def metrics(service: ServiceOf) -> Response:
    """Counts and times."""
    return Response(service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/model", responses=ERRORS)
async def model(service: ServiceOf) -> ModelResponse:
    """What is served: model, modalities, rerankers, measured figures, where the data is from."""
    return service.about.model_copy(update={"items": len(service.shelf)})
