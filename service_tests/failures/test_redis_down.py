"""Redis goes down and comes back: popularity fallbacks, named errors, and no restart needed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.stores.redis.embedded import EmbeddedRedis

pytestmark = pytest.mark.anyio


async def test_service_survives_an_outage_of_redis(service_with: Callable[..., Any], tmp_path: Path) -> None:
    redis = EmbeddedRedis.start(tmp_path / "redis")
    try:
        async with service_with(redis_url=redis.url, redis_timeout_ms=300) as service:
            await service.post_events("u", "i7", "i8")
            before = await service.recommend(user_id="u")
            errors = 'nextup_store_errors_total{operation="recent"}'
            errors_before = await service.read_metric(errors)
            redis.stop()

            fallback = await service.recommend(user_id="u")
            assert (fallback["served_by"], fallback["reason"]) == ("cache", "store_unavailable")
            assert fallback["items"] == before["items"]
            unheard = await service.recommend(user_id="unheard")
            assert (unheard["served_by"], unheard["reason"]) == ("popularity", "store_unavailable")
            assert await service.read_metric(errors) > errors_before
            read_your_writes = await service.http.post("/recommend", json={"user_id": "u", "min_history_version": 2})
            events = await service.http.post("/events", json={"events": [{"user_id": "u", "item_id": "i9"}]})
            history = await service.http.get("/users/u/history")
            for response in (read_your_writes, events, history):
                assert (response.status_code, response.json()["title"]) == (503, "Store unavailable")
                assert int(response.headers["retry-after"]) >= 1
                assert str(tmp_path) not in response.text, "callers see no path of this machine"
            assert (await service.recommend(history=["i7", "i8"]))["items"] == before["items"], "needs no store"
            await service.state["health_monitor"].poll()
            response = await service.http.get("/readyz")
            assert (response.status_code, str(tmp_path) in response.text) == (503, False)
            assert (await service.http.get("/livez")).status_code == 200
            assert await service.read_metric("nextup_store_up") == 0

            redis = EmbeddedRedis.start(tmp_path / "redis")
            assert (await service.recommend(user_id="u"))["items"] == before["items"]
            await service.state["health_monitor"].poll()
            assert (await service.http.get("/readyz")).status_code == 200
    finally:
        redis.stop()


async def test_redis_user_without_info_is_ready(
    service_with: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedRedis.start(tmp_path / "redis") as redis:
        with Redis.from_url(redis.url) as admin:
            admin.execute_command("ACL SETUSER shop on >pw ~* +@all -info")
        url = redis.url.replace("unix://", "unix://shop:pw@", 1)
        async with service_with(redis_url=url) as service:
            for _ in range(2):
                await service.state["health_monitor"].poll()
            assert (await service.http.get("/readyz")).status_code == 200
            assert await service.read_metric("nextup_store_up") == 1
            await service.post_events("u", "i7")
            assert (await service.recommend(user_id="u"))["served_by"] == "model"
    lines = [record.getMessage() for record in caplog.records if record.name == "nextup"]
    assert len([line for line in lines if "the memory of Redis cannot be read" in line]) == 1
