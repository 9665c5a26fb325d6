"""Error responses: application/problem+json (RFC 9457), always with the request id.

`app/errors.py` maps errors to statuses.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.errors import ContentTooLarge, FieldError, InvalidRequest, ServiceError, Unauthorized
from app.http.field_problems import MAX_PROBLEMS, FieldProblem, format_detail, list_field_problems
from app.http.routing import find_methods

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:nextup:problem:"
"""In front of the title with hyphens; docs/api.md lists all types."""
_FRAMEWORK_TITLES = {404: "Not found", 405: "Method not allowed", 413: ContentTooLarge.title}


class Problem(BaseModel):
    """Body of every error response (RFC 9457)."""

    type: str = Field(
        examples=["urn:nextup:problem:invalid-request"], description="URI of the problem type, which never changes"
    )
    title: str = Field(examples=["Invalid request"], description="summary of the problem type")
    status: int = Field(examples=[422], description="HTTP status")
    detail: str = Field(description="cause of this occurrence, and what to do about it")
    request_id: str = Field(description="id of the request, as in the X-Request-ID header and in the server log")
    errors: list[FieldProblem] = Field(
        max_length=MAX_PROBLEMS, description="invalid fields; empty if the cause is not a field of the request"
    )


def declare_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Build the OpenAPI `responses` of a route for its own errors; `openapi.py` adds those that all routes share."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def build_problem(
    status: int,
    title: str,
    detail: str,
    request_id: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    body = {
        "type": TYPE_PREFIX + title.lower().replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        "errors": errors,
    }
    return Response(json.dumps(body), status_code=status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


def build_error_response(error: ServiceError, request_id: str) -> Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    errors = error.errors if isinstance(error, InvalidRequest) else ()
    return build_problem(error.status, error.title, error.public_detail, request_id, errors=errors, headers=headers)


async def on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return build_error_response(error, request.state.request_id)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    body = getattr(request.scope.get("route"), "body_field", None)
    model = None if body is None else body.field_info.annotation
    located = ({**problem, "loc": problem["loc"][1:]} for problem in error.errors())  # without body, query or the like
    errors = list_field_problems(located, model)
    return build_problem(422, "Invalid request", format_detail(errors), request.state.request_id, errors=errors)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Convert errors of the framework: unknown routes and methods, and bodies that are too large."""
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # the body is not UTF-8 or nested too deep: invalid like any other body
        unreadable = InvalidRequest.for_field("body", "JSON cannot be decoded")
        return build_error_response(unreadable, request.state.request_id)
    title = _FRAMEWORK_TITLES.get(error.status_code) or HTTPStatus(error.status_code).phrase.capitalize()
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == 404:
        detail = "there is no such path; /openapi.json lists all paths"
    if error.status_code == 405:
        methods = find_methods(request.app.routes, request.scope)
        if methods:  # the framework names those of the first route
            headers["Allow"] = ", ".join(methods)
        detail = f"this path does not have the method {request.method}; allowed: {headers.get('Allow', 'none')}"
    return build_problem(error.status_code, title, detail, request.state.request_id, headers=headers)
