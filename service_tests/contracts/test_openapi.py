"""The OpenAPI document: routes of the contract with stable ids, named schemas, errors, headers, keys and examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from app.api_keys import generate_key
from app.errors import ServiceError
from app.events import schemas as events
from app.experiments import schemas as experiments
from app.experiments import shadow_schemas as shadow
from app.health import endpoints as health
from app.http.auth import get_required_scope
from app.http.problems import Problem, build_error_response
from app.items import list_schemas as item_lists
from app.items import schemas as items
from app.main import create_app
from app.models_api import schemas as models_api
from app.overview import schemas as overview
from app.placements import schemas as placements
from app.recommend import batch_schemas as batches
from app.recommend import schemas as recommend
from app.rules import settings as rules
from app.settings import Settings
from app.users import schemas as users

CONTRACT = {
    ("post", "/recommend"): "recommend",
    ("post", "/recommend/batch"): "recommend_batch",
    ("post", "/similar"): "find_similar",
    ("post", "/events"): "ingest_events",
    ("get", "/users"): "list_users",
    ("get", "/users/{user_id}/history"): "read_history",
    ("delete", "/users/{user_id}"): "erase_user",
    ("post", "/users/{user_id}/merge"): "merge_users",
    ("get", "/items"): "search_items",
    ("put", "/items"): "put_items",
    ("patch", "/items"): "patch_items",
    ("get", "/items/{item_id}"): "read_item",
    ("get", "/items/{item_id}/followers"): "list_followers",
    ("delete", "/items/{item_id}"): "remove_item",
    ("get", "/placements"): "list_placements",
    ("put", "/placements/{name}"): "put_placement",
    ("get", "/placements/{name}"): "read_placement",
    ("delete", "/placements/{name}"): "remove_placement",
    ("get", "/models"): "list_models",
    ("post", "/models/{version}/activate"): "activate_model",
    ("get", "/experiments"): "list_experiments",
    ("put", "/experiments/{name}"): "put_experiment",
    ("get", "/experiments/{name}"): "read_experiment",
    ("delete", "/experiments/{name}"): "remove_experiment",
    ("post", "/experiments/{name}/conclude"): "conclude_experiment",
    ("put", "/models/{version}/shadow"): "start_shadow",
    ("get", "/models/{version}/shadow"): "read_shadow",
    ("delete", "/models/{version}/shadow"): "remove_shadow",
    ("get", "/overview"): "read_overview",
    ("get", "/livez"): "check_liveness",
    ("get", "/healthz"): "check_health",
    ("get", "/readyz"): "check_readiness",
    ("get", "/metrics"): "read_metrics",
}
"""Operation ids by method and path: generated clients name their functions after them, so they must not change."""

PUBLIC = {"/livez", "/healthz", "/readyz"}
PROBLEM_TYPES = {
    *("invalid-request", "unauthorized", "forbidden", "not-found", "content-too-large", "unsupported-media-type"),
    *("misdirected-request", "history-is-behind", "artifact-rejected", "activation-in-progress", "too-many-requests"),
    *("request-timeout", "request-head-too-large", "experiment-conflict", "version-not-in-memory"),
    *("overloaded", "draining", "store-unavailable", "model-unavailable", "deadline-exceeded", "history-is-damaged"),
}
"""Problem types, which callers compare, so they must not change."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(artifact=Path("unused"))).openapi()


def list_operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_routes_and_operation_ids_equal_the_contract(document: dict[str, Any]) -> None:
    assert {(method, path): route["operationId"] for method, path, route in list_operations(document)} == CONTRACT


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


def test_guarded_operations_declare_the_errors_of_keys(document: dict[str, Any]) -> None:
    for method, path, operation in list_operations(document):
        declared = {"401", "403", "429"} & set(operation["responses"])
        assert declared == (set() if path in PUBLIC else {"401"} if path == "/metrics" else {"401", "403", "429"})
        if "403" in declared:
            scope = get_required_scope(method.upper(), path)
            assert f"the scope {scope};" in operation["responses"]["403"]["description"]


def test_every_operation_declares_the_errors_of_the_middleware(document: dict[str, Any]) -> None:
    for _, path, operation in list_operations(document):
        assert {"408", "413", "415", "421", "422", "431", "500", "503"} <= set(operation["responses"]), path


def test_responses_declare_their_headers(document: dict[str, Any]) -> None:
    for _, path, operation in list_operations(document):
        for status, response in operation["responses"].items():
            expected = {"X-Request-ID"}
            expected |= {"Retry-After"} if status in ("429", "503") else set()
            expected |= {"WWW-Authenticate"} if status == "401" else set()
            expected |= {"Server-Timing"} if status == "200" and path in ("/recommend", "/similar") else set()
            assert set(response["headers"]) == expected, (path, status)
            assert all(
                header["$ref"].rpartition("/")[2] in document["components"]["headers"]
                for header in response["headers"].values()
            )


@pytest.mark.parametrize("has_keys", [True, False])
@pytest.mark.parametrize("has_metrics_key", [True, False])
def test_security_names_the_key_of_each_operation(has_keys: bool, has_metrics_key: bool) -> None:
    keys = generate_key("reader", ["read"])[1] if has_keys else ""
    metrics_key = SecretStr("watch") if has_metrics_key else None
    app = create_app(Settings(artifact=Path("unused"), api_keys=SecretStr(keys), metrics_key=metrics_key))
    document = app.openapi()
    assert app.openapi() is document, "completed once"
    assert "security" not in document
    schemes = document["components"].get("securitySchemes", {})
    assert set(schemes) == {name for name, used in (("key", has_keys), ("metrics_key", has_metrics_key)) if used}
    for _, path, operation in list_operations(document):
        name = "metrics_key" if path == "/metrics" else "key"
        is_guarded = name in schemes and path not in PUBLIC
        assert operation.get("security", []) == ([{name: []}] if is_guarded else []), path


def test_limits_follow_the_settings() -> None:
    document = create_app(Settings(artifact=Path("unused"), max_k=7, max_body_bytes=5000)).openapi()
    for name in ("RecommendRequest", "SimilarRequest", "PlacementSettings"):
        assert document["components"]["schemas"][name]["properties"]["k"]["maximum"] == 7
    for _, _, operation in list_operations(document):
        assert "5000 bytes" in operation["responses"]["413"]["description"]


def test_objects_and_enumerations_of_several_schemas_are_defined_once(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    inline = [
        name
        for name, schema in {**schemas, "paths": document["paths"]}.items()
        for node in list_nodes(schema)
        if node is not schema and ("properties" in node and node.get("type") == "object")
    ]
    assert inline == []
    owners: dict[str, str] = {}
    for name, schema in schemas.items():
        for node in list_nodes(schema):
            if "enum" in node and node is not schema:
                assert owners.setdefault(str(node["enum"]), name) == name, "name this enumeration"


def list_nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from list_nodes(child)


def test_every_body_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    modules = (
        *(recommend, batches, rules, events, users, items, placements, models_api, experiments, shadow, overview),
        *(item_lists, health),
    )
    models = {name: model for module in modules for name, model in vars(module).items() if isinstance(model, type)}
    bodies = set()
    for _, _, operation in list_operations(document):
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            schema = body.get("content", {}).get("application/json", {}).get("schema", {})
            if "$ref" in schema:
                bodies.add(schema["$ref"].rpartition("/")[2])
    assert len(bodies) == 38
    for name in bodies:
        examples = document["components"]["schemas"][name]["examples"]
        model = models[name]
        assert issubclass(model, BaseModel)
        assert len(examples) >= 1
        for example in examples:
            model.model_validate(example, extra="forbid")
            for event in example.get("events", []) if name == "EventsRequest" else []:
                events.Event.model_validate(event, context={"now_ms": 0})
            for entry in example.get("requests", [])[:1]:
                recommend.RecommendRequest.model_validate(entry)


def test_problem_types_are_stable() -> None:
    def list_errors(base: type[ServiceError]) -> Iterator[type[ServiceError]]:
        for error in base.__subclasses__():
            yield error
            yield from list_errors(error)

    types = set()
    for error in filter(lambda error: "title" in vars(error), list_errors(ServiceError)):
        problem = Problem.model_validate_json(bytes(build_error_response(error("text"), "r").body), strict=True)
        assert (problem.status, problem.title, problem.errors) == (error.status, error.title, [])
        types.add(problem.type)
    assert types == {f"urn:nextup:problem:{name}" for name in PROBLEM_TYPES}


def test_documentation_lists_every_problem_type() -> None:
    text = (Path(__file__).parents[2] / "docs/api.md").read_text()
    assert [
        name
        for name in PROBLEM_TYPES | {"method-not-allowed", "internal-error", "bad-request"}
        if f"`{name}`" not in text
    ] == []
