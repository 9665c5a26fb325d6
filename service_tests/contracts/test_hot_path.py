"""The hot path equals the route: its schema field by field, and what the middleware does to requests and responses."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
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


def strip_schema(schema: Any) -> Any:
    """Remove titles, descriptions and examples from a schema."""
    if isinstance(schema, list):
        return sorted((strip_schema(part) for part in schema), key=repr)
    if not isinstance(schema, dict):
        return schema
    return {key: strip_schema(value) for key, value in schema.items() if key not in OPENAPI_ONLY}


def get_fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Return each field with types, bounds and default; the default is None if the schema has none."""
    return {name: {"default": None} | strip_schema(field) for name, field in schema["properties"].items()}


@pytest.fixture(scope="module")
def openapi_schema() -> dict[str, Any]:
    document = create_app(Settings(artifact=Path("unused"))).openapi()
    schema: dict[str, Any] = document["components"]["schemas"]["RecommendRequest"]
    return schema


@pytest.fixture(scope="module")
def hot_path_schema() -> dict[str, Any]:
    schema: dict[str, Any] = msgspec.json.schema(StrictRequest)["$defs"]["StrictRequest"]
    return schema


def test_fields_types_bounds_and_defaults_equal_openapi(
    openapi_schema: dict[str, Any], hot_path_schema: dict[str, Any]
) -> None:
    fields = get_fields(openapi_schema)
    assert fields["k"].pop("maximum") == Settings().max_k, "the service checks it for both paths"
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
