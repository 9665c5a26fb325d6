"""The OpenAPI document: what FastAPI generates, completed by what all routes share.

Every operation lists the errors of the middleware, the headers of its responses, and the key and scope that it needs.
A schema is defined once and referred to elsewhere.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from app.http.auth import METRICS_PATH, PUBLIC_PATHS, get_required_scope
from app.http.field_problems import FieldProblem
from app.http.problems import Problem, declare_errors
from app.settings import Settings

Schema = dict[str, Any]

SHARED_ERRORS = (408, 413, 415, 421, 422, 431, 500, 503)
GUARDED_ERRORS = (401, 403, 429)
STAGED_PATHS = ("/recommend", "/similar")
HEADERS: Schema = {
    "X-Request-ID": {
        "description": "id of the request: that of the caller, or a new one",
        "schema": {"type": "string", "maxLength": 128},
    },
    "Retry-After": {"description": "seconds to wait before another try", "schema": {"type": "integer", "minimum": 1}},
    "WWW-Authenticate": {"description": "the scheme of the keys", "schema": {"type": "string", "const": "Bearer"}},
    "Server-Timing": {
        "description": "milliseconds by stage: store, queue, encode, score, respond",
        "schema": {"type": "string"},
        "example": "store;dur=0.41, queue;dur=0.05, encode;dur=1.92, score;dur=0.33, respond;dur=0.08",
    },
}
SCHEMES: Schema = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API key with the scope that the operation names; `nextup key` creates one",
    },
    "metrics_key": {"type": "http", "scheme": "bearer", "description": "the value of NEXTUP_METRICS_KEY"},
}


def complete_schema(app: FastAPI, settings: Settings, *, has_keys: bool, has_metrics_key: bool) -> None:
    """Complete the document that `app` generates, once."""
    generate: Callable[[], Schema] = app.openapi

    def generate_complete() -> Schema:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = generate()
        components = schema.setdefault("components", {})
        schemas: Schema = components["schemas"]
        for model in (FieldProblem, Problem):
            schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas[model.__name__].pop("$defs", None)
        components["headers"] = HEADERS
        _refer_to_components(schema, schemas)
        for name in ("RecommendRequest", "SimilarRequest", "PlacementSettings"):
            schemas[name]["properties"]["k"]["maximum"] = settings.max_k
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                _complete_operation(operation, method.upper(), path, settings)
                if has_keys or has_metrics_key:
                    operation["security"] = _list_security(path, has_keys, has_metrics_key)
        if has_keys or has_metrics_key:
            used = {"key": has_keys, "metrics_key": has_metrics_key}
            components["securitySchemes"] = {name: scheme for name, scheme in SCHEMES.items() if used[name]}
        return schema

    app.openapi = generate_complete  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _complete_operation(operation: Schema, method: str, path: str, settings: Settings) -> None:
    responses = operation["responses"]
    is_guarded = path not in PUBLIC_PATHS and path != METRICS_PATH
    statuses = [*SHARED_ERRORS, *(GUARDED_ERRORS if is_guarded else (401,) if path == METRICS_PATH else ())]
    for status, error in declare_errors(*statuses).items():
        responses.setdefault(str(status), error)
    responses["413"]["description"] = f"The body exceeds {settings.max_body_bytes} bytes (NEXTUP_MAX_BODY_BYTES)"
    if is_guarded:
        scope = get_required_scope(method, path)
        responses["401"]["description"] = "No API key, or an unknown one; only if NEXTUP_API_KEYS is set"
        responses["403"]["description"] = f"The API key lacks the scope {scope}; only if NEXTUP_API_KEYS is set"
        responses["429"]["description"] = "The API key exceeds NEXTUP_RATE_LIMIT"
    for status, response in responses.items():
        names = ["X-Request-ID"]
        if status in ("429", "503"):
            names.append("Retry-After")
        if status == "401":
            names.append("WWW-Authenticate")
        if status == "200" and path in STAGED_PATHS:
            names.append("Server-Timing")
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    operation["responses"] = dict(sorted(responses.items()))


def _list_security(path: str, has_keys: bool, has_metrics_key: bool) -> list[Schema]:
    if path == METRICS_PATH:
        return [{"metrics_key": []}] if has_metrics_key else []
    return [{"key": []}] if has_keys and path not in PUBLIC_PATHS else []


def _refer_to_components(schema: Schema, schemas: Schema) -> None:
    """Replace copies of a component by a reference; fields that are not validated by FastAPI contain copies."""
    stack: list[Any] = [*schemas.values(), schema["paths"]]
    while stack:
        node = stack.pop()
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(pairs):
            title = value.get("title") if isinstance(value, dict) else None
            if isinstance(title, str) and title in schemas and value == schemas[title]:
                node[key] = {"$ref": f"#/components/schemas/{title}"}
            elif isinstance(value, dict | list):
                stack.append(value)
