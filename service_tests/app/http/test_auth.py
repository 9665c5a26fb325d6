"""With keys set, every call but health needs one that may do it, before anything else of the call is looked at."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

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
    ("POST", "/recommend", {"history": [1]}, "read"),  # not plain: the way through the framework
    ("POST", "/recommend/batch", {"requests": [{"history": ["i1"]}]}, "read"),
    ("POST", "/similar", {"item_id": "i1"}, "read"),
    ("GET", "/items/i1", None, "read"),
    ("GET", "/models", None, "read"),
    ("GET", "/users/nobody/history", None, "read"),
    ("POST", "/events", {"events": [{"user_id": "u", "item_id": "i1"}]}, "write"),
    ("DELETE", "/users/nobody", None, "write"),
    ("POST", "/users/nobody/merge", {"from": "somebody"}, "write"),
    ("POST", "/models/none/activate", None, "admin"),
    ("GET", "/nowhere", None, "read"),
]


@pytest.fixture
async def guarded(service_with: Callable[..., AbstractAsyncContextManager[Service]]) -> AsyncIterator[Service]:
    async with service_with(api_keys=ENTRIES, metrics_key="watch") as service:
        yield service


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
async def test_each_call_needs_a_key_with_its_scope(
    method: str, path: str, body: object, scope: str, guarded: Service
) -> None:
    assert get_required_scope(method, path) == scope
    for headers in ({}, bearer("wrong"), {"Authorization": f"Basic {READ}"}, {"Authorization": READ}):
        refused = await guarded.http.request(method, path, json=body, headers=headers)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer"), refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
    for token, name in ((READ, "read"), (WRITE, "write"), (ADMIN, "admin")):
        answer = await guarded.http.request(method, path, json=body, headers=bearer(token))
        may = name in (scope, "admin")
        assert (answer.status_code == 403) != may, answer.text
        assert answer.status_code != 401
        if not may:
            assert f"has not the scope '{scope}'" in answer.json()["detail"]


async def test_health_stays_open_and_metrics_have_their_own_key(guarded: Service) -> None:
    for path in ("/livez", "/readyz", "/healthz", "/", "/docs", "/openapi.json"):
        assert path in PUBLIC_PATHS
        assert (await guarded.http.get(path)).status_code == 200
    assert (await guarded.http.get("/metrics")).status_code == 401
    assert (await guarded.http.get("/metrics", headers=bearer(ADMIN))).status_code == 401
    assert (await guarded.http.get("/metrics", headers=bearer("watch"))).status_code == 200


async def test_every_path_of_the_service_is_either_open_or_has_a_scope_on_purpose() -> None:
    """A new endpoint must be added to the calls above, and so be thought about."""
    paths = create_app(Settings()).openapi()["paths"]
    known = PUBLIC_PATHS | {"/metrics"} | {scope_path for _, scope_path, _, _ in CALLS}
    named = {
        path.replace("nobody", "{user_id}").replace("/i1", "/{item_id}").replace("/none/", "/{version}/")
        for path in known
    }
    assert set(paths) <= named


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    async with service_with(api_keys=ENTRIES, rate_limit=2) as service:
        codes = [(await service.http.get("/items/i1", headers=bearer(READ))).status_code for _ in range(4)]
        assert codes == [200, 200, 429, 429]
        refused = await service.http.get("/items/i1", headers=bearer(READ))
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await service.http.get("/items/i1", headers=bearer(ADMIN))).status_code == 200, "each has its own"
        assert await service.read_metric('nextup_rejected_total{reason="rate"}') >= 3


async def test_the_schema_tells_that_calls_carry_a_key(guarded: Service) -> None:
    schema = (await guarded.http.get("/openapi.json")).json()
    assert schema["security"] == [{"key": []}]
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_command_prints_a_key_and_the_entry_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "shop", "read", "write"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Settings(api_keys=said["entry"]).api_keys == said["entry"]
    assert said["key"] not in said["entry"]


def test_with_keys_the_service_may_listen_to_the_network() -> None:
    assert Settings(host="0.0.0.0", api_keys=ENTRIES).host == "0.0.0.0"
