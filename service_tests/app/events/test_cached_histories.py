"""Cached answers leave out the items of events that entered the history, and of no others."""

from collections.abc import Callable

import numpy as np
import pytest

from app.events.service import EventService
from app.history_types import HistoryTypes
from app.inference import AnswerCache, TopItems
from app.inference.query import NO_KEYS
from app.stores.history import HistoryStore
from app.stores.redis.client import RedisClient
from models.catalogue.item_key import item_keys
from service_tests.support.artifacts import tiny_catalogue

pytestmark = pytest.mark.anyio


async def test_event_that_came_too_late_is_in_no_cached_history(
    redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user, cache = new_user(), AnswerCache(max_bytes=10_000, lifetime_s=60)
    events = EventService(HistoryStore(redis_client, max_events=2), None, HistoryTypes(), cache)
    answer = TopItems([1], [0.0], "model", np.empty(0, dtype=np.int64), "1", tiny_catalogue())
    cache.put(user, answer, NO_KEYS, 0, erasures=cache.erasures)
    statuses = []
    for item_id in "abcd":
        (result,) = await events.ingest_each([{"user_id": user, "item_id": item_id, "timestamp": 1_700_000_000}])
        statuses.append(result.status)
    assert statuses == ["stored", "stored", "stored", "late"]
    cached = cache.get(user, "1")
    assert cached is not None
    assert cached.history_keys == item_keys(["a", "b", "c"]).tobytes()
