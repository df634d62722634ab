"""Routes of recommendations, similar items, explanations and thumbs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import JsonValue

from crossrec.config import Config, validate
from crossrec.rerank.recommender import RerankConfig
from crossrec.server.config import MAX_K
from crossrec.server.errors import Busy, UnknownName
from crossrec.server.lists import BatchOptions
from crossrec.server.routes.common import (
    BODY_ERRORS,
    ERRORS,
    NOT_FOUND,
    NOT_KEPT,
    ItemPath,
    ItemQuery,
    ServiceOf,
)
from crossrec.server.schemas import (
    RUN_RERANK,
    ExplainRequest,
    ExplainResponse,
    FeedbackRequest,
    FeedbackResponse,
    ModelResponse,
    RankedItem,
    RecommendRequest,
    RecommendResponse,
    SimilarResponse,
    Space,
)
from crossrec.server.service import Service
from crossrec.serving.filters import Filter
from crossrec.serving.results import PICTURES
from crossrec.types import InputError

router = APIRouter(prefix="/api", tags=["recommending"], responses=ERRORS | NOT_FOUND)
Places = Annotated[int, Query(ge=1, le=MAX_K)]
AskedSpace = Annotated[Space, Query(description="vector space of the similarity")]


@router.post("/recommend", responses=BODY_ERRORS)
async def recommend(request: RecommendRequest, service: ServiceOf) -> RecommendResponse:
    """Return the best items for a user or a history."""
    history = service.history(request.user_id, request.history)
    options = _options(request, service, timed=history.times is not None)
    found = await service.recommend(history, options)
    hidden = set(service.shelf.rows(request.exclude))
    places = [place for place in found.places if place.row not in hidden][: request.k]
    return RecommendResponse(items=_ranked(service, places), retrieval=found.retrieval)


@router.get("/similar/{item_id:path}")
async def similar_at(
    item_id: ItemPath, service: ServiceOf, k: Places = 10, space: AskedSpace = "model"
) -> SimilarResponse:
    """Return similar items."""
    return await similar(item_id, service, k, space)


@router.get("/similar")
async def similar(
    item_id: ItemQuery, service: ServiceOf, k: Places = 10, space: AskedSpace = "model"
) -> SimilarResponse:
    """Return the same for any id, passed as a query parameter."""
    service.shelf.row(item_id)
    k = min(k, len(service.shelf))
    _known("space", [space], service.about.spaces)
    try:
        found = await service.thread.call(lambda: service.shop.similar(item_id, k=k, space=space))
    except InputError as error:
        if isinstance(error, Busy):
            raise
        raise UnknownName(str(error)) from error  # the item has no vector in this space
    return SimilarResponse(items=_ranked(service, [(place.row, place.score) for place in found]))


@router.post("/explain", responses=BODY_ERRORS)
async def explain(request: ExplainRequest, service: ServiceOf) -> ExplainResponse:
    """Explain an item's score: modalities, clicks, picture, words."""
    history = service.history(request.user_id, request.history)
    row = service.shelf.row(request.item_id)
    if not history.item_ids:
        raise UnknownName("no clicks: an explanation needs a history")
    explanation = await service.thread.call(
        lambda: service.shop.explain(history.item_ids, request.item_id, times=history.times).to_dict()
    )
    content: dict[str, JsonValue] = finite(explanation)
    shelf = service.shelf
    read = shelf.cards([entry["item"] for entry in explanation["history"]])
    return ExplainResponse(item=shelf.card(row), history=read, explanation=content)


@router.post("/feedback", responses=BODY_ERRORS | NOT_KEPT)
async def feedback(request: FeedbackRequest, service: ServiceOf) -> FeedbackResponse:
    """Record a thumb up or down; it is stored only if the server was started with a feedback log."""
    service.shelf.rows([request.item_id, *request.history, *request.shown])
    if request.user_id is not None and request.user_id not in service.users:
        raise UnknownName(f"no user '{request.user_id}'")
    if service.log is not None:
        await run_in_threadpool(service.log.append, request.model_dump())
    service.measures.feedback.labels(request.vote).inc()
    return FeedbackResponse(logged=service.log is not None)


def _options(request: RecommendRequest, service: Service, *, timed: bool) -> BatchOptions:
    # Hidden items are replaced by those after them, so that the list stays full.
    hidden = len(set(request.exclude))
    modalities = None if request.modalities is None else frozenset(request.modalities)
    _known("modality", modalities or (), service.about.modalities)
    columns = [name for name in service.shelf.catalog.dataset.column_names if name not in PICTURES]
    _known("column", [*(request.context or {}), *(rule.column for rule in request.filters)], columns)
    return BatchOptions(
        k=min(request.k + hidden, len(service.shelf)),
        timed=timed,
        rerank=_rerank(request.rerank, service.about),
        filters=tuple(
            validate(Filter, rule.model_dump(exclude_none=True), f"filters.{number}")
            for number, rule in enumerate(request.filters)
        ),
        context=tuple(sorted((request.context or {}).items())),
        exclude_seen=request.exclude_seen,
        modalities=modalities,
    )


def _rerank(request: Config | str | None, about: ModelResponse) -> str | None:
    """Return the reranking as a key shared by the requests of one batch."""
    if request is None:
        return None
    if isinstance(request, str):
        _known("reranking of its own", [request], [RUN_RERANK] if about.run_rerank else [])
        return request
    stage = request.model_dump()
    offered = {entry.type: entry for entry in about.rerankers}
    _known("reranker", [stage["type"]], list(offered))
    if "space" in stage:
        _known("space", [stage["space"]], offered[stage["type"]].spaces)
    return validate(RerankConfig, {"stages": [stage]}, "rerank").model_dump_json()


def _known(what: str, asked: Iterable[str], there: Sequence[str]) -> None:
    for name in asked:
        if name not in there:
            raise UnknownName(f"no {what} '{name}' here; there are: {', '.join(there) or 'none'}")


def _ranked(service: Service, places: Sequence[tuple[int, float]]) -> list[RankedItem]:
    shelf = service.shelf
    return [
        RankedItem(rank=rank, score=score, item=shelf.card(row))
        for rank, (row, score) in enumerate(places, 1)
    ]


def finite(value: Any) -> Any:
    """Return a value for JSON, with null in place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and value - value != 0 else value
