"""Rate limits of API keys: shared by all processes, batches counted by size, never silently off."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from uuid import uuid4

import pytest
from pydantic import SecretStr, ValidationError
from redis.asyncio import Redis

from app.api_keys import generate_key
from app.settings import Settings
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]


class Caller:
    """A caller with its own keys, because limits outlive a service."""

    def __init__(self) -> None:
        self.name = f"k{uuid4().hex}"
        self.token, entry = generate_key(self.name, ["read"])
        self.other, other_entry = generate_key(f"{self.name}-other", ["admin"])
        self.entries = SecretStr(f"{entry},{other_entry}")

    async def get(self, service: Service, token: str | None = None) -> int:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        return (await service.http.get("/items/i1", headers=headers)).status_code


@pytest.fixture
def caller() -> Caller:
    return Caller()


async def test_key_beyond_its_limit_gets_429_with_retry_after(service_with: ServiceWith, caller: Caller) -> None:
    async with service_with(api_keys=caller.entries, rate_limit=2) as service:
        assert [await caller.get(service) for _ in range(4)] == [200, 200, 429, 429]
        response = await service.http.get("/items/i1", headers={"Authorization": f"Bearer {caller.token}"})
        assert int(response.headers["Retry-After"]) >= 1
        assert await caller.get(service, caller.other) == 200, "own limit"
        assert await service.read_metric('nextup_rejected_total{reason="rate"}') >= 3
        await asyncio.sleep(0.6)
        assert await caller.get(service) == 200


async def test_processes_share_the_limit_of_a_key(service_with: ServiceWith, caller: Caller) -> None:
    changes = {"api_keys": caller.entries, "rate_limit": 20}
    async with service_with(**changes) as first, service_with(**changes) as second:
        started_at = time.monotonic()
        statuses = [await caller.get(service) for _ in range(40) for service in (first, second)]
        elapsed_s = time.monotonic() - started_at
    assert set(statuses) == {200, 429}
    assert 20 <= statuses.count(200) <= 20 + 20 * elapsed_s + 1, elapsed_s


async def test_batch_is_counted_by_its_size(service_with: ServiceWith, caller: Caller) -> None:
    async with service_with(api_keys=caller.entries, rate_limit=10) as service:
        headers = {"Authorization": f"Bearer {caller.token}"}
        batch = {"requests": [{"history": ["i1"]}] * 30}
        assert (await service.http.post("/recommend/batch", json=batch, headers=headers)).status_code == 200
        response = await service.http.post("/recommend/batch", json=batch, headers=headers)
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) == 2, "20 requests beyond the burst at 10 per second"


async def test_processes_limit_on_their_own_while_redis_does_not_count(
    service_with: ServiceWith, caller: Caller, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis_client.set(f"n:rate:{{{caller.name}}}", "not a bucket")  # Redis answers this key with an error only
    async with service_with(api_keys=caller.entries, rate_limit=3) as service:
        assert [await caller.get(service) for _ in range(5)] == [200, 200, 200, 429, 429]
    assert sum("rate limits" in message for message in caplog.messages) == 1


def test_limit_without_keys_is_refused() -> None:
    with pytest.raises(ValidationError, match="set NEXTUP_API_KEYS"):
        Settings(rate_limit=5)
