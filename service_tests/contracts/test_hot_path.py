"""The hot path equals the route: its schema field by field, and what the middleware does to requests and responses."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.api_keys import generate_key
from app.main import create_app
from app.recommend.fast_schema import StrictRequest
from app.settings import Settings
from service_tests.support.service import Service

JSON = {"content-type": "application/json"}
OPENAPI_ONLY = {"title", "description", "examples"}


def resolve_references(schema: Any, definitions: dict[str, Any]) -> Any:
    """Replace references to named schemas by these schemas."""
    if isinstance(schema, list):
        return [resolve_references(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        own = {key: value for key, value in schema.items() if key != "$ref"}
        return definitions[schema["$ref"].rpartition("/")[2]] | own
    return {key: resolve_references(value, definitions) for key, value in schema.items()}


def strip_schema(schema: Any) -> Any:
    """Remove titles, descriptions and examples from a schema, and the type that an enumeration implies."""
    if isinstance(schema, list):
        return sorted((strip_schema(part) for part in schema), key=partial(json.dumps, sort_keys=True))
    if not isinstance(schema, dict):
        return schema
    left_out = OPENAPI_ONLY | ({"type"} if "enum" in schema else set())
    return {key: strip_schema(value) for key, value in schema.items() if key not in left_out}


def get_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return each field with types, bounds and default; the default is None if the schema has none."""
    return {name: {"default": None} | strip_schema(field) for name, field in schema["properties"].items()}


def get_timed_history(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the alternative of `history` whose entries are objects."""
    [alternative] = [
        part for part in schema["properties"]["history"]["anyOf"] if part.get("items", {}).get("type") == "object"
    ]
    return dict(alternative)


@pytest.fixture(scope="module")
def openapi_schema() -> dict[str, Any]:
    document = create_app(Settings(artifact=Path("unused"))).openapi()
    definitions = document["components"]["schemas"]
    schema: dict[str, Any] = resolve_references(definitions["RecommendRequest"], definitions)
    return schema


@pytest.fixture(scope="module")
def hot_path_schema() -> dict[str, Any]:
    definitions = msgspec.json.schema(StrictRequest)["$defs"]
    schema: dict[str, Any] = resolve_references(definitions["StrictRequest"], definitions)
    return schema


def test_fields_types_bounds_and_defaults_equal_openapi(
    openapi_schema: dict[str, Any], hot_path_schema: dict[str, Any]
) -> None:
    fields = get_fields(openapi_schema)
    assert fields["k"].pop("maximum") == Settings().max_k, "the service checks it for both paths"
    fields["history"]["anyOf"].remove(strip_schema(get_timed_history(openapi_schema)))  # by the route only
    assert get_fields(hot_path_schema) == fields


def test_no_schema_requires_a_field_or_accepts_an_unknown_one(
    openapi_schema: dict[str, Any], hot_path_schema: dict[str, Any]
) -> None:
    for schema in (openapi_schema, hot_path_schema):
        assert schema.get("required", []) == []
        assert schema["additionalProperties"] is False


KEY, ENTRY = generate_key("reader", ["read"])
SHOP = "https://shop.example"
VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "prefix": {"root_path": "/shop"},
    "origins": {"cors_origins": SHOP},
    "keys": {"api_keys": ENTRY},
    "hosts": {"allowed_hosts": "api.example"},
    "everything": {"root_path": "/shop", "cors_origins": SHOP, "api_keys": ENTRY, "allowed_hosts": "api.example"},
}
HEADERS: list[dict[str, str]] = [
    {},
    {"origin": SHOP},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"host": "api.example"},
    {"host": "api.example", "origin": SHOP, "authorization": f"Bearer {KEY}"},
    {"authorization": "Bearer wrong"},
    {"content-encoding": "gzip"},
    {"content-type": "text/plain"},
    {"content-length": "999999999"},
    {"x-request-id": "mine"},
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
]
VOLATILE = {"server-timing", "x-request-id"}


@pytest.mark.anyio
@pytest.mark.parametrize("variant", VARIANTS)
async def test_middleware_treats_both_paths_alike(
    variant: str, service_with: Callable[..., AbstractAsyncContextManager[Service]]
) -> None:
    async with service_with(**VARIANTS[variant]) as service:
        for path in ("/recommend", "/shop/recommend", "/recommend%0A", "/recommend/"):
            for headers in HEADERS:
                plain = await service.http.post(path, content=b'{"history": ["1"], "k": 3}', headers=JSON | headers)
                lenient = await service.http.post(path, content=b'{"history": [1], "k": 3}', headers=JSON | headers)
                assert plain.status_code == lenient.status_code, (path, headers)
                assert set(plain.headers) == set(lenient.headers), (path, headers)
                for name in set(plain.headers) - VOLATILE:
                    assert plain.headers[name] == lenient.headers[name], (path, headers)
                if "x-request-id" in headers:
                    assert plain.headers["x-request-id"] == lenient.headers["x-request-id"] == "mine"
                assert {**plain.json(), "request_id": 0, "recommendation_id": 0} == {
                    **lenient.json(),
                    "request_id": 0,
                    "recommendation_id": 0,
                }
