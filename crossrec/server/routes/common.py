"""Parameters and errors shared by routes, and the endpoints that describe the server."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from crossrec.server.config import MAX_ID, MAX_PAGE, MAX_WORDS
from crossrec.server.errors import ErrorBody
from crossrec.server.schemas import HealthResponse, ModelResponse
from crossrec.server.service import Service

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "not JSON, or not addressed to this server"},
    422: {"model": ErrorBody, "description": "a field is missing, unknown or invalid"},
    503: {"model": ErrorBody, "description": "the queue is full; try again after Retry-After seconds"},
    504: {"model": ErrorBody, "description": "the request took too long"},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "unknown item, user or column"}
}
NOT_KEPT: dict[int | str, dict[str, Any]] = {
    507: {"model": ErrorBody, "description": "the data could not be written, such as on a full disk"}
}
BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    403: {"model": ErrorBody, "description": "requested by another site's page"},
    408: {"model": ErrorBody, "description": "the body did not arrive in time"},
    413: {"model": ErrorBody, "description": "the body is too large"},
}


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(_service)]
ItemPath = Annotated[str, Path(min_length=1, max_length=MAX_ID, description="the item's id")]
ItemQuery = Annotated[str, Query(min_length=1, max_length=MAX_ID, description="item id, with any characters")]
UserQuery = Annotated[str, Query(min_length=1, max_length=MAX_ID, description="user id, with any characters")]
UserPath = Annotated[str, Path(min_length=1, max_length=MAX_ID, description="the user's id")]
Words = Annotated[str, Query(max_length=MAX_WORDS, description="words or parts of words")]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="number of matches to skip")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="maximum number of matches to return")]
router = APIRouter(tags=["about"])


@router.get("/health")
async def health() -> HealthResponse:
    """Return "ok" as soon as the server accepts requests."""
    return HealthResponse()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
async def metrics(service: ServiceOf) -> Response:
    """Return counts and times of requests."""
    return Response(service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/model", responses=ERRORS)
async def model(service: ServiceOf) -> ModelResponse:
    """Describe the model: modalities, rerankers, test metrics, origin of the data."""
    return service.about.model_copy(update={"items": len(service.shelf)})
