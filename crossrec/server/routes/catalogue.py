"""Routes of items and users: search, details, pictures, new items."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic.json_schema import SkipJsonSchema

from crossrec.server.config import MAX_HISTORY, MAX_ID
from crossrec.server.errors import ErrorBody, UnknownName
from crossrec.server.routes.common import (
    BODY_ERRORS,
    ERRORS,
    NOT_FOUND,
    ItemPath,
    ItemQuery,
    Limit,
    Offset,
    ServiceOf,
    UserPath,
    UserQuery,
    Words,
)
from crossrec.server.schemas import AddItemResponse, ItemCard, ItemPage, UserPage, UserResponse
from crossrec.types import InputError

router = APIRouter(prefix="/api", tags=["catalogue"], responses=ERRORS)
CACHED = "private, max-age=300"
CONTROL = r"\x00-\x1f\x7f-\x9f"
NewId = Annotated[
    str,
    Form(pattern=rf"^[^{CONTROL}]*[^\s{CONTROL}][^{CONTROL}]*$", max_length=MAX_ID, description="a new id"),
]
NewTitle = Annotated[str, Form(pattern=r"\S", max_length=500)]
NewPrice = Annotated[
    str, Form(pattern=r"^([0-9]{1,12}([.][0-9]{1,6})?)?$", description="a number; unknown when empty")
]
NewCategories = Annotated[
    str, Form(pattern=r"^([^,]{0,100},){0,19}[^,]{0,100}$", description="at most 20, separated by commas")
]
Size = Annotated[Literal["128", "256", "512"], Query(description="longest side, pixels")]
PICTURE: dict[int | str, dict[str, Any]] = {
    **NOT_FOUND,
    200: {"content": {"image/jpeg": {}}, "description": "the picture within a square of size pixels"},
    304: {"description": "the browser's copy is current"},
}


@router.get("/items")
async def find_items(service: ServiceOf, q: Words = "", offset: Offset = 0, limit: Limit = 20) -> ItemPage:
    """Return items whose title or text contains all words; all items without words."""
    shelf = service.shelf
    rows, total = await run_in_threadpool(shelf.find, q, offset, limit)
    return ItemPage(items=shelf.cards(rows), total=total)


@router.get("/items/{item_id:path}/image", responses=PICTURE, response_class=Response)
async def picture_at(item_id: ItemPath, service: ServiceOf, request: Request, size: Size = "256") -> Response:
    """Return an item's picture as a small JPEG."""
    return await picture(item_id, service, request, size)


@router.get("/image", responses=PICTURE, response_class=Response)
async def picture(item_id: ItemQuery, service: ServiceOf, request: Request, size: Size = "256") -> Response:
    """Return the same for any id, passed as a query parameter."""
    row, thumbnails = service.shelf.row(item_id), service.thumbnails
    found = await run_in_threadpool(thumbnails.get, row, int(size))
    if found is None:
        raise UnknownName(f"item '{item_id}' has no picture that can be read")
    headers = {"ETag": found.tag, "Cache-Control": CACHED}
    if found.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type="image/jpeg", headers=headers)


@router.get("/items/{item_id:path}", responses=NOT_FOUND)
async def item_at(item_id: ItemPath, service: ServiceOf) -> ItemCard:
    """Return one item."""
    return await item(item_id, service)


@router.get("/item", responses=NOT_FOUND)
async def item(item_id: ItemQuery, service: ServiceOf) -> ItemCard:
    """Return the same for any id, passed as a query parameter."""
    return service.shelf.card(service.shelf.row(item_id))


@router.post(
    "/items",
    status_code=201,
    responses={
        **BODY_ERRORS,
        409: {"model": ErrorBody, "description": "the id exists, or too many items were added"},
        415: {"model": ErrorBody, "description": "the picture is unsupported or broken"},
    },
)
async def add_item(
    service: ServiceOf,
    item_id: NewId,
    title: NewTitle,
    text: Annotated[str, Form(max_length=20_000, description="the title when empty")] = "",
    price: NewPrice = "",
    categories: NewCategories = "",
    columns: Annotated[
        str,
        Form(
            max_length=100_000,
            description="JSON mapping of further columns of the catalogue and, by the modality's name, of "
            "vectors",
        ),
    ] = "",
    image: Annotated[
        UploadFile | SkipJsonSchema[None], File(description="JPEG, PNG, WebP, GIF or AVIF")
    ] = None,
) -> AddItemResponse:
    """Add an item, which can be recommended at once and until the server stops."""
    row: dict[str, Any] = {
        "item_id": item_id.strip(),
        "title": title.strip(),
        # Models read texts; without one, the title is the text.
        "text": text.strip() or title.strip(),
        "price": float(price) if price else None,
        "categories": list(dict.fromkeys(name.strip() for name in categories.split(",") if name.strip())),
    }
    row |= further_columns(columns, taken=(*row, "image", *service.shop.picture_columns)) if columns else {}
    if image is not None:
        row["image"] = await service.sent_pictures.take(image.read)
    place = await service.add_item(row)
    # Not in one line: adding the item replaces the index.
    return AddItemResponse(item=service.shelf.card(place))


def further_columns(text: str, taken: Collection[str]) -> dict[str, Any]:
    """Return the further columns of a new item.

    Args:
        text: JSON.
        taken: columns that a client may not set here: those of the form, and those that hold pictures, whose
            paths would be read on this machine.

    Raises:
        InputError: if it is no mapping, or names such a column.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"columns: not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError('columns: needs a JSON mapping, such as {"brand": "Acme"}')
    for name in found:
        if name in taken:
            raise InputError(f"columns: '{name}' can't be set here")
    return found


@router.get("/users", tags=["users"])
async def find_users(service: ServiceOf, q: Words = "", offset: Offset = 0, limit: Limit = 20) -> UserPage:
    """Return users whose id contains a text; all users without one."""
    users, total = await run_in_threadpool(service.users.find, q, offset, limit)
    return UserPage(users=users, total=total)


@router.get("/users/{user_id:path}", tags=["users"], responses=NOT_FOUND)
async def user_at(user_id: UserPath, service: ServiceOf) -> UserResponse:
    """Return a user's latest clicks, oldest first."""
    return await user(user_id, service)


@router.get("/user", tags=["users"], responses=NOT_FOUND)
async def user(user_id: UserQuery, service: ServiceOf) -> UserResponse:
    """Return the same for any id, passed as a query parameter."""
    rows = service.rows_of(user_id)
    cards = service.shelf.cards(rows[-MAX_HISTORY:])
    return UserResponse(user_id=user_id, history=cards, total=len(rows))
