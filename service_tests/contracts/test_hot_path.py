"""The hot path's schema equals OpenAPI's field by field, so a bound changed in one place fails here."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.main import create_app
from app.recommend.fast_schema import StrictRequest
from app.settings import Settings

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
