"""Requests and responses of the API; the OpenAPI page is generated from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from crossrec.config import Config
from crossrec.rerank import RERANKERS
from crossrec.server.config import MAX_HISTORY, MAX_ID, MAX_K

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID)]
ModalityName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Space = Literal["model", "text", "image", "content", "behaviour"]
FoundBy = Literal["exact", "faiss", "popular"]
Number = Annotated[float, Field(allow_inf_nan=False)]
RUN_RERANK = "run"
"""Name of the reranking configured in the run."""


def _whole(value: Any) -> Any:
    """Return whole floats as int: JSON does not distinguish 10.0 from 10."""
    if not isinstance(value, dict):
        return value
    return {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in value.items()}


OFFERED: dict[str, type[Config]] = {
    name: options
    for name in RERANKERS
    if "diversity" in (options := RERANKERS.options(name)).model_fields
    and not getattr(RERANKERS[name], "keeps_account", False)
}
"""Rerankers that a request may name. Rules on columns are ``filters``; a quota is a policy for all requests,
and classes outside the project are code: both are allowed in the run's configuration only."""


class ApiRequest(BaseModel):
    """Base of requests: no unknown keys, and no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True)

    _whole_numbers = model_validator(mode="before")(_whole)


class FilterRequest(ApiRequest):
    """Filter on a column of the catalog, with exactly one test."""

    column: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    equals: str | Number | bool | None = None
    one_of: Annotated[list[str | Number], Field(min_length=1, max_length=100)] | None = None
    minimum: str | Number | None = None
    maximum: str | Number | None = None


def _strict(name: str, options: type[Config]) -> type[Config]:
    """Return options as requests contain them: the type is required, and no value is converted."""
    config = ConfigDict(strict=True, json_schema_extra={"required": ["type"]})
    content = {"model_config": config, "_whole_numbers": model_validator(mode="before")(_whole)}
    content |= {"__annotations__": {"type": Literal[name]}, "type": name}
    content |= {"__module__": __name__, "__doc__": options.__doc__}
    return type(f"{RERANKERS[name].__name__}Request", (options,), content)


if TYPE_CHECKING:
    RerankRequest = Config
else:
    RerankRequest = Annotated[
        Union[tuple(_strict(name, options) for name, options in OFFERED.items())],  # noqa: UP007
        Field(discriminator="type"),
    ]
"""A reranker with its options, as in a configuration."""


class RecommendRequest(ApiRequest):
    """Request of recommendations for a user or a history."""

    history: list[Identifier] = Field(
        default=[], max_length=MAX_HISTORY, description="item ids, oldest click first"
    )
    user_id: Identifier | None = Field(
        default=None, description="a known user, whose clicks precede those of the history"
    )
    k: int = Field(default=10, ge=1, le=MAX_K)
    rerank: RerankRequest | Literal["run"] | None = Field(
        default=None, description="reranker; 'run' for the reranking configured in the run"
    )
    filters: list[FilterRequest] = Field(default=[], max_length=20)
    context: dict[str, str | Number] | None = Field(default=None, max_length=20)
    exclude_seen: bool | None = Field(
        default=None, description="omit the history's items; as in the run's evaluation when null"
    )
    exclude: list[Identifier] = Field(default=[], max_length=MAX_K, description="items not to show")
    modalities: list[ModalityName] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="modalities that the model reads; all when null",
    )


class ExplainRequest(ApiRequest):
    """Request to explain a recommendation."""

    item_id: Identifier
    history: list[Identifier] = Field(default=[], max_length=MAX_HISTORY)
    user_id: Identifier | None = None


class FeedbackRequest(ApiRequest):
    """Thumb up or down for a shown item."""

    item_id: Identifier
    vote: Literal["up", "down"]
    user_id: Identifier | None = None
    history: list[Identifier] = Field(
        default=[], max_length=MAX_HISTORY, description="history that the list was made for"
    )
    shown: list[Identifier] = Field(default=[], max_length=MAX_K, description="list that contained the item")
    rank: Annotated[int, Field(ge=1, le=MAX_K)] | None = Field(
        default=None, description="rank in that list, from 1"
    )


class ItemCard(BaseModel):
    """Displayed properties of an item."""

    model_config = ConfigDict(frozen=True)

    item_id: str
    title: str | None
    text: str | None
    categories: list[str]
    price: float | None
    image: str | None = Field(description="address of its picture; null without one")


class RankedItem(BaseModel):
    """An item in a list."""

    rank: int
    score: float | None
    item: ItemCard


class RecommendResponse(BaseModel):
    """A list, best first."""

    items: list[RankedItem]
    retrieval: FoundBy = Field(description="'popular' without any click")


class SimilarResponse(BaseModel):
    """Similar items, most similar first."""

    items: list[RankedItem]


class ItemPage(BaseModel):
    """A page of a search."""

    items: list[ItemCard]
    total: int


class UserPage(BaseModel):
    """A page of users' ids."""

    users: list[str]
    total: int


class UserResponse(BaseModel):
    """A user's clicks, oldest first, the latest ``MAX_HISTORY`` of them."""

    user_id: str
    history: list[ItemCard]
    total: int


class AddItemResponse(BaseModel):
    """A new item, which can be recommended until the server stops."""

    item: ItemCard


class FeedbackResponse(BaseModel):
    """Whether the thumb was written to the feedback log."""

    logged: bool


class ExplainResponse(BaseModel):
    """Explanation of a score; the content of ``crossrec.explain.Explanation.to_dict``."""

    item: ItemCard
    history: list[ItemCard]
    explanation: dict[str, JsonValue]


class HealthResponse(BaseModel):
    """Status of the server."""

    status: Literal["ok"] = "ok"


class RerankerInfo(BaseModel):
    """An available reranker."""

    type: str
    summary: str
    diversity: float
    spaces: list[str] = Field(description="vector spaces of its similarity; empty if it uses none")


class RetrievalInfo(BaseModel):
    """Retrieval method of plain lists."""

    kind: FoundBy
    recall: float | None = Field(description="share of the exact lists that the index found at start-up")
    sampled: int = Field(description="number of histories on which recall was measured")
    lists: int
    probes: int


class Interval(BaseModel):
    """An interval."""

    low: float
    high: float


class MetricValue(BaseModel):
    """Value of a metric on the test split, with its 95 % interval if it has one."""

    value: float
    ci95: Interval | None


class ModelResponse(BaseModel):
    """Description of the served model."""

    name: str
    model: str = Field(description="sequence model and modalities")
    items: int
    users: int
    modalities: list[str]
    spaces: list[str] = Field(description="spaces in which items can be compared")
    rerankers: list[RerankerInfo]
    run_rerank: str | None = Field(description="reranking configured in the run; null if there is none")
    data: str
    note: str = Field(description="note on the data, such as that it is generated; may be empty")
    metrics: dict[str, MetricValue] = Field(description="metrics on the test split; empty when not measured")
    retrieval: RetrievalInfo
    feedback: bool = Field(description="whether thumbs are stored")
    max_upload_bytes: int = Field(description="maximum size of a new item with its picture")
