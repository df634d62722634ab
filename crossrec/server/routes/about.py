"""What is served, whether it is well, and what it did."""

from __future__ import annotations

from fastapi import APIRouter, Response

from crossrec.server.routes.common import ERRORS, ServiceOf
from crossrec.server.schemas import Health, ModelAnswer

router = APIRouter(tags=["about"])


@router.get("/health")
async def health() -> Health:
    """Answers as soon as the server takes requests."""
    return Health()


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus' text format"}},
)
async def metrics(service: ServiceOf) -> Response:
    """Counts and times."""
    return Response(service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/model", responses=ERRORS)
async def model(service: ServiceOf) -> ModelAnswer:
    """What is served: model, modalities, rerankers, measured figures, where the data is from."""
    return service.about.model_copy(update={"items": len(service.shelf)})
