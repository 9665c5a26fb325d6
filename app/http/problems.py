"""Error responses: application/problem+json (RFC 9457), always with the request id.

`app/errors.py` maps errors to statuses.
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

from app.errors import FieldError, InvalidRequest, ServiceError, Unauthorized
from app.http.field_problems import FieldProblem, format_detail, list_field_problems

CONTENT_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Body of every error response (RFC 9457)."""

    type: str = Field(examples=["about:blank"], description="URI of the problem type")
    title: str = Field(examples=["Invalid request"], description="summary of the problem type")
    status: int = Field(examples=[422], description="HTTP status")
    detail: str = Field(description="cause of this occurrence, and what to do about it")
    request_id: str = Field(description="id of the request, as in the X-Request-ID header and in the server log")
    errors: list[FieldProblem] | None = Field(default=None, description="invalid fields, at most 50")


def declare_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Build the OpenAPI `responses` of a route that can fail with these statuses."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def add_problem_schemas(app: FastAPI) -> None:
    """Add the schemas that `declare_errors` refers to; given as models, they would be listed as plain JSON too."""
    generate = app.openapi

    def generate_with_problems() -> dict[str, Any]:
        schema = generate()
        for model in (FieldProblem, Problem):
            model_schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            model_schema.pop("$defs", None)
            schema["components"]["schemas"][model.__name__] = model_schema
        return schema

    app.openapi = generate_with_problems  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def add_key_security(app: FastAPI) -> None:
    """Declare in the schema, and so on the page under /docs, that requests need an API key."""
    generate = app.openapi

    def generate_with_keys() -> dict[str, Any]:
        schema = generate()
        schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"key": []}]
        return schema

    app.openapi = generate_with_keys  # type: ignore[method-assign]  # as above


def build_problem(
    status: int,
    title: str,
    detail: str,
    request_id: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body["request_id"] = request_id
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status_code=status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


def build_error_response(error: ServiceError, request_id: str) -> Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    errors = error.errors if isinstance(error, InvalidRequest) else ()
    return build_problem(error.status, error.title, error.detail, request_id, errors=errors, headers=headers)


async def on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return build_error_response(error, request.state.request_id)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = list_field_problems(error.errors())
    return build_problem(422, "Invalid request", format_detail(errors), request.state.request_id, errors=errors)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Convert errors of the framework: unknown routes and methods, and bodies that are too large."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # the body is not UTF-8 or nested too deep: invalid like any other body
        return build_problem(422, "Invalid request", "body: JSON cannot be decoded", request.state.request_id)
    title = HTTPStatus(error.status_code).phrase
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == 404:
        detail = "there is no such path; /openapi.json lists all paths"
    if error.status_code == 405:
        methods = headers.get("Allow", "").split(", ")
        headers["Allow"] = ", ".join([*methods, "HEAD"] if "GET" in methods and "HEAD" not in methods else methods)
        detail = f"this path does not have the method {request.method}; allowed: {headers['Allow']}"
    return build_problem(error.status_code, title, detail, request.state.request_id, headers=headers)
