"""Settings that look like a key but are none open and lock nothing, and errors tell nothing of the machine."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from pydantic import ValidationError

from app.errors import ArtifactRejected, ModelUnavailable, StoreUnavailable
from app.settings import Settings
from app.stores.redis.client import StoreOperation
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.mark.parametrize("text", ["", ",", " ", " , ,", "\t\n"])
def test_text_without_a_key_does_not_expose_the_service(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTUP_API_KEYS", text)
    monkeypatch.setenv("NEXTUP_HOST", "0.0.0.0")
    with pytest.raises(ValidationError, match="NEXTUP_ALLOW_ANONYMOUS"):
        Settings()


@pytest.mark.parametrize("text", [",", " "])
async def test_text_without_a_key_leaves_a_local_service_as_it_is(
    text: str, service_with: ServiceWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTUP_API_KEYS", text)
    async with service_with(api_keys=Settings().api_keys) as service:
        assert (await service.http.get("/items/i1")).status_code == 200
        response = await service.http.get("/items/i1", headers={"host": "evil.example"})
        assert response.status_code == 421, "still protected like a service without keys"


async def test_empty_metrics_key_is_no_key(service_with: ServiceWith) -> None:
    async with service_with(metrics_key="") as service:
        assert (await service.http.get("/metrics")).status_code == 200


async def test_empty_bearer_opens_nothing(service_with: ServiceWith) -> None:
    async with service_with(metrics_key="watch") as service:
        for value in ("Bearer", "Bearer ", "bearer  "):
            assert (await service.http.get("/metrics", headers={"Authorization": value})).status_code == 401


@pytest.mark.parametrize(
    ("text", "public"),
    [
        (
            "/srv/models/v1 holds no artifact: manifest.json is missing",
            "v1 holds no artifact: manifest.json is missing",
        ),
        ("/srv/models/v1/model.safetensors does not match", "model.safetensors does not match"),
        ("v1: FileNotFoundError(2, '/srv/secret place/x')", "v1: FileNotFoundError(2, 'secret place/x')"),
        ("no process answers at /var/run/nextup/model.sock: refused", "no process answers at model.sock: refused"),
        ("share 3/4 of a/b", "share 3/4 of a/b"),
    ],
)
def test_callers_see_no_folder(text: str, public: str) -> None:
    for error in (ArtifactRejected(text), ModelUnavailable(text), StoreUnavailable(text)):
        assert (error.public_detail, error.detail) == (public, text)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("Error 111 connecting to 10.1.2.3:6379. refused", "Error 111 connecting to …. refused"),
        ("Error 111 connecting to [fe80::1]:6379. refused", "Error 111 connecting to …. refused"),
        ("redis-7.internal:7001 timed out a moment ago", "… timed out a moment ago"),
        ("unix socket: /srv/data/redis.sock. No such file", "unix socket: redis.sock. No such file"),
        ("OOM not allowed when used memory > 'maxmemory'", "OOM not allowed when used memory > 'maxmemory'"),
    ],
)
def test_callers_see_no_host_of_redis(text: str, public: str) -> None:
    error = StoreOperation("read").to_store_unavailable(RuntimeError(text))
    assert error.public_detail == f"Redis operation 'read' failed: {public}"
    assert text in error.detail, "commands and logs name the host"
