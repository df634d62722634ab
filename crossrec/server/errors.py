"""Errors as HTTP responses: one JSON format, and never a traceback for a client's input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from crossrec.types import InputError

MAX_ERRORS = 20
MAX_MESSAGE = 500


class UnknownName(InputError):
    """Unknown item, user or column."""


class WrongPicture(InputError):
    """Uploaded file that is not a picture of a supported format."""


class Conflict(InputError):
    """Conflict with an existing item, or with a limit on new items."""


class NotKept(InputError):
    """Data that could not be written."""


class Busy(InputError):
    """Full queue; the client may try again in a moment."""


STATUS: dict[type[InputError], int] = {
    UnknownName: 404,
    Conflict: 409,
    WrongPicture: 415,
    Busy: 503,
    NotKept: 507,
    InputError: 422,
}
"""HTTP status by error class; the nearest base class counts."""


class FieldError(BaseModel):
    """Error of one field."""

    field: str
    message: str


class ErrorBody(BaseModel):
    """Body of every response with a status from 400 on."""

    detail: str
    errors: list[FieldError] = []


def error_response(
    status: int, detail: str, errors: Sequence[FieldError] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """Return an error response; characters that UTF-8 can't encode are replaced."""
    body = ErrorBody(detail=_printable(detail), errors=list(errors))
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Make the application return all errors in one format."""
    app.add_exception_handler(InputError, _input_error)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    app.add_exception_handler(HTTPException, _http_error)


async def _input_error(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return error_response(status, str(error), headers={"Retry-After": "1"} if status == 503 else None)


async def _wrong_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [_field_error(entry) for entry in error.errors()[:MAX_ERRORS]]
    if any(entry["type"] == "json_invalid" for entry in error.errors()):
        return error_response(400, "the body is not JSON", found)
    return error_response(422, "; ".join(f"{e.field}: {e.message}" for e in found), found)


def _field_error(entry: dict[str, Any]) -> FieldError:
    place = ".".join(str(part) for part in entry["loc"])
    return FieldError(field=_printable(place), message=_printable(entry["msg"].removeprefix("Value error, ")))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return error_response(error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """Return all methods of a path; the router names only those of the first matching route."""
    path = getattr(request.scope.get("route"), "path_format", request.scope["path"])
    operations = request.app.openapi()["paths"].get(path, {"get": {}})
    return sorted(method.upper() for method in operations)


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")[:MAX_MESSAGE]
