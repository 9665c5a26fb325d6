"""With API keys set, every call except health needs a key with its scope, checked before the body is read."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from pydantic import SecretStr

from app.api_keys import generate_key
from app.commands.main import main
from app.http.auth import PUBLIC_PATHS, get_required_scope
from app.main import create_app
from app.settings import Settings
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio

READ, READ_ENTRY = generate_key("reader", ["read"])
WRITE, WRITE_ENTRY = generate_key("writer", ["write"])
ADMIN, ADMIN_ENTRY = generate_key("admin", ["admin"])
ENTRIES = ",".join((READ_ENTRY, WRITE_ENTRY, ADMIN_ENTRY))
CALLS = [  # method, path, body, scope
    ("POST", "/recommend", {"history": ["i1"]}, "read"),
    ("POST", "/recommend", {"history": [1]}, "read"),  # not plain, so FastAPI handles it
    ("POST", "/recommend/batch", {"requests": [{"history": ["i1"]}]}, "read"),
    ("POST", "/similar", {"item_id": "i1"}, "read"),
    ("GET", "/items", None, "read"),
    ("GET", "/items/i1", None, "read"),
    ("GET", "/items/i1/followers", None, "read"),
    ("PUT", "/items", {"items": [{"item_id": "unknown"}]}, "write"),
    ("PATCH", "/items", {"items": [{"item_id": "unknown"}]}, "write"),
    ("DELETE", "/items/i1", None, "write"),
    ("GET", "/placements", None, "read"),
    ("GET", "/placements/home", None, "read"),
    ("PUT", "/placements/home", {"k": 0}, "write"),
    ("DELETE", "/placements/home", None, "write"),
    ("GET", "/models", None, "read"),
    ("GET", "/overview", None, "read"),
    ("GET", "/users", None, "read"),
    ("GET", "/users/unknown/history", None, "read"),
    ("POST", "/events", {"events": [{"user_id": "u", "item_id": "i1"}]}, "write"),
    ("DELETE", "/users/unknown", None, "write"),
    ("POST", "/users/unknown/merge", {"from": "anonymous"}, "write"),
    ("POST", "/models/none/activate", None, "admin"),
    ("GET", "/experiments", None, "read"),
    ("GET", "/experiments/home", None, "read"),
    ("PUT", "/experiments/home", {"variants": []}, "admin"),
    ("DELETE", "/experiments/home", None, "admin"),
    ("POST", "/experiments/home/conclude", {}, "admin"),
    ("PUT", "/models/none/shadow", {"seconds": 0}, "admin"),
    ("GET", "/models/none/shadow", None, "admin"),
    ("DELETE", "/models/none/shadow", None, "admin"),
    ("GET", "/nowhere", None, "read"),
]


@pytest.fixture
async def guarded(service_with: Callable[..., AbstractAsyncContextManager[Service]]) -> AsyncIterator[Service]:
    async with service_with(api_keys=ENTRIES, metrics_key="watch") as service:
        yield service


def build_bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
async def test_call_requires_key_with_its_scope(
    method: str, path: str, body: object, scope: str, guarded: Service
) -> None:
    assert get_required_scope(method, path) == scope
    for headers in ({}, build_bearer("wrong"), {"Authorization": f"Basic {READ}"}, {"Authorization": READ}):
        response = await guarded.http.request(method, path, json=body, headers=headers)
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer"), response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["request_id"] == response.headers["x-request-id"]
    for token, name in ((READ, "read"), (WRITE, "write"), (ADMIN, "admin")):
        response = await guarded.http.request(method, path, json=body, headers=build_bearer(token))
        is_allowed = name in (scope, "admin")
        assert (response.status_code == 403) != is_allowed, response.text
        assert response.status_code != 401
        if not is_allowed:
            assert f"lacks scope '{scope}'" in response.json()["detail"]


async def test_only_callers_that_may_activate_learn_the_folder_of_the_versions(
    guarded: Service, service: Service, settings: Settings
) -> None:
    for token, folder in ((READ, None), (ADMIN, str(settings.artifact))):
        response = await guarded.http.get("/models", headers=build_bearer(token))
        assert response.json()["repository"] == folder
    assert (await service.http.get("/models")).json()["repository"] == str(settings.artifact), "without any keys"


async def test_health_stays_open_and_metrics_require_their_own_key(guarded: Service) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/", "/docs", "/openapi.json"):
        assert path in PUBLIC_PATHS
        assert (await guarded.http.get(path)).status_code == 200
    assert (await guarded.http.get("/metrics")).status_code == 401
    assert (await guarded.http.get("/metrics", headers=build_bearer(ADMIN))).status_code == 401
    assert (await guarded.http.get("/metrics", headers=build_bearer("watch"))).status_code == 200


async def test_every_path_is_public_or_listed_with_its_scope() -> None:
    """A new endpoint must be added to `CALLS`, which makes its scope a decision."""
    paths = create_app(Settings()).openapi()["paths"]
    listed = PUBLIC_PATHS | {"/metrics"} | {path for _, path, _, _ in CALLS}
    templates = {
        path.replace("unknown", "{user_id}")
        .replace("/i1", "/{item_id}")
        .replace("/none/", "/{version}/")
        .replace("/home", "/{name}")
        for path in listed
    }
    assert set(paths) <= templates


async def test_schema_declares_bearer_keys(guarded: Service) -> None:
    schema = (await guarded.http.get("/openapi.json")).json()
    assert schema["paths"]["/recommend"]["post"]["security"] == [{"key": []}]
    assert schema["paths"]["/livez"]["get"]["security"] == []
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_key_command_prints_key_and_its_settings_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "shop", "read", "write"]) == 0
    output = json.loads(capsys.readouterr().out.splitlines()[-1])
    entry = SecretStr(output["entry"])
    assert Settings(api_keys=entry).api_keys == entry
    assert output["key"] not in output["entry"]


def test_service_with_keys_may_listen_on_all_interfaces() -> None:
    assert Settings(host="0.0.0.0", api_keys=SecretStr(ENTRIES)).host == "0.0.0.0"
