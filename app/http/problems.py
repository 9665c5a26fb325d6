"""Errors as callers see them: application/problem+json (RFC 9457), always with the request's id.

The map from an error to a status stands in `app/errors.py`. It knows no use case.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import ServiceError, Unauthorized

CONTENT_TYPE = "application/problem+json"


class FieldProblem(BaseModel):
    field: str = Field(examples=["events.3.item_id"])
    detail: str


class Problem(BaseModel):
    """The body of every error."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Invalid request"])
    status: int = Field(examples=[422])
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None


def declare_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of a route that may answer with these errors."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def add_problem_schemas(app: FastAPI) -> None:
    """Put the body that `declare_errors` refers to into the schema; given as a model, it would be told as plain JSON too."""
    generate = app.openapi

    def with_problems() -> dict[str, Any]:
        schema = generate()
        for model in (FieldProblem, Problem):
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            described.pop("$defs", None)
            schema["components"]["schemas"][model.__name__] = described
        return schema

    app.openapi = with_problems  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def add_key_security(app: FastAPI) -> None:
    """Tell the schema, and so the page under /docs, that calls carry an API key."""
    generate = app.openapi

    def with_keys() -> dict[str, Any]:
        schema = generate()
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        return schema

    app.openapi = with_keys  # type: ignore[method-assign]  # as above


def build_problem(
    status: int,
    title: str,
    detail: str,
    request_id: str,
    *,
    errors: Sequence[Mapping[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body["request_id"] = request_id
    if errors is not None:
        body["errors"] = errors
    return Response(json.dumps(body), status_code=status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


def format_field_problems(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Pydantic's errors as field path and sentence; at most 50, however many there are."""
    return [{"field": _path(error), "detail": _sentence(error)} for error in errors[:50]]


def _path(error: Mapping[str, Any]) -> str:
    location = error["loc"]
    if error["type"] == "json_invalid":
        return "body"
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return ".".join(map(str, parts)) or "body"


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"not JSON at character {error['loc'][-1]}: {error['ctx']['error']}"
    return str(error["msg"]).removeprefix("Value error, ")


async def on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return build_problem(error.status, error.title, error.detail, request.state.request_id, headers=headers)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = format_field_problems(error.errors())
    detail = "; ".join(f"{e['field']}: {e['detail']}" for e in errors[:3])
    return build_problem(422, "Invalid request", detail, request.state.request_id, errors=errors)


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: unknown routes, methods, bodies that are too large."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # not even text, or nested too deep: a wrong body like any other
        return build_problem(422, "Invalid request", "body: not JSON that can be read", request.state.request_id)
    title = HTTPStatus(error.status_code).phrase
    return build_problem(error.status_code, title, str(error.detail), request.state.request_id, headers=error.headers)
