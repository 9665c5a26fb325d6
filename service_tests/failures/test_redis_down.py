"""Redis goes away and comes back: answers get simpler, errors are named, nothing needs a restart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.stores.redis.embedded import EmbeddedRedis

pytestmark = pytest.mark.anyio


async def test_the_service_outlives_its_redis(service_with: Callable[..., Any], tmp_path: Path) -> None:
    redis = EmbeddedRedis.start(tmp_path / "redis")
    try:
        async with service_with(redis_url=redis.url, redis_timeout_ms=300) as service:
            await service.post_events("u", "i7", "i8")
            before = await service.recommend(user_id="u")
            errors = 'nextup_store_errors_total{operation="recent"}'
            counted = await service.read_metric(errors)
            redis.stop()

            fallen_back = await service.recommend(user_id="u")
            assert (fallen_back["served_by"], fallen_back["reason"]) == ("popularity", "store_unavailable")
            assert await service.read_metric(errors) > counted
            wanted = await service.http.post("/recommend", json={"user_id": "u", "min_history_version": 2})
            sent = await service.http.post("/events", json={"events": [{"user_id": "u", "item_id": "i9"}]})
            read = await service.http.get("/users/u/history")
            for response in (wanted, sent, read):
                assert (response.status_code, response.json()["title"]) == (503, "Store unavailable")
                assert int(response.headers["retry-after"]) >= 1
            assert (await service.recommend(history=["i7", "i8"]))["items"] == before["items"], "needs no store"
            await service.state["health_monitor"].poll()
            assert (await service.http.get("/readyz")).status_code == 503
            assert (await service.http.get("/livez")).status_code == 200
            assert await service.read_metric("nextup_store_up") == 0

            redis = EmbeddedRedis.start(tmp_path / "redis")
            assert (await service.recommend(user_id="u"))["items"] == before["items"]
            await service.state["health_monitor"].poll()
            assert (await service.http.get("/readyz")).status_code == 200
    finally:
        redis.stop()
