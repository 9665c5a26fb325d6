"""The OpenAPI document lists the routes of the contract and declares every error as a problem."""

from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings

CONTRACT = {
    ("post", "/recommend"),
    ("post", "/recommend/batch"),
    ("post", "/similar"),
    ("post", "/events"),
    ("get", "/users/{user_id}/history"),
    ("delete", "/users/{user_id}"),
    ("post", "/users/{user_id}/merge"),
    ("get", "/items/{item_id}"),
    ("get", "/models"),
    ("post", "/models/{version}/activate"),
    ("get", "/livez"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(artifact=Path("unused"))).openapi()


def test_routes_equal_the_contract(document: dict[str, Any]) -> None:
    assert {(method, path) for path, methods in document["paths"].items() for method in methods} == CONTRACT


def test_every_error_of_every_route_is_declared_as_a_problem(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            errors = {status: answer for status, answer in route["responses"].items() if int(status) >= 400}
            assert "500" in errors, (method, path)
            for status, answer in errors.items():
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema["$ref"].endswith("/Problem"), (method, path, status)


def test_every_route_has_a_description(document: dict[str, Any]) -> None:
    undocumented = [
        path
        for path, methods in document["paths"].items()
        for route in methods.values()
        if not route.get("description")
    ]
    assert undocumented == []
