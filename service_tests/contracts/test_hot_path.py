"""The hot path's schema is that of OpenAPI, field by field: a bound that is changed in one place fails here."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.main import create_app
from app.recommend.fast_schema import StrictRequest
from app.settings import Settings

TOLD_BY_OPENAPI_ONLY = {"title", "description", "examples"}


def plain(schema: Any) -> Any:
    """A schema without what is for people, and without the defaults that say no more than "optional"."""
    if isinstance(schema, list):
        return sorted((plain(part) for part in schema), key=repr)
    if not isinstance(schema, dict):
        return schema
    return {key: plain(value) for key, value in schema.items() if key not in TOLD_BY_OPENAPI_ONLY}


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    """Each field with its types, bounds and default, None where none is told."""
    return {name: {"default": None} | plain(field) for name, field in schema["properties"].items()}


@pytest.fixture(scope="module")
def of_openapi() -> dict[str, Any]:
    document = create_app(Settings(artifact=Path("never opened"))).openapi()
    schema: dict[str, Any] = document["components"]["schemas"]["RecommendRequest"]
    return schema


@pytest.fixture(scope="module")
def of_hot_path() -> dict[str, Any]:
    schema: dict[str, Any] = msgspec.json.schema(StrictRequest)["$defs"]["StrictRequest"]
    return schema


def test_fields_types_bounds_and_defaults_are_those_of_openapi(
    of_openapi: dict[str, Any], of_hot_path: dict[str, Any]
) -> None:
    assert fields(of_hot_path) == fields(of_openapi)


def test_neither_requires_a_field_and_neither_takes_an_unknown_one(
    of_openapi: dict[str, Any], of_hot_path: dict[str, Any]
) -> None:
    for schema in (of_openapi, of_hot_path):
        assert schema.get("required", []) == []
        assert schema["additionalProperties"] is False
