"""A user whose stored values are damaged harms no other user, on reads and on writes, and can be erased."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest

from app.stores.entries import FORMAT, HEADER
from app.stores.keys import build_user_keys
from app.stores.redis.client import RedisClient
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
HEADER_FIELDS = (3, 1, 1, FORMAT, 0, 0, 4, 0, 9, 9, -(2**62))
DAMAGED_ITEMS = {
    "short": b"x",
    "cut": HEADER.pack(*HEADER_FIELDS) + b"x" * 13,
    "beyond its end": HEADER.pack(*HEADER_FIELDS[:2], 10_000, *HEADER_FIELDS[3:]) + b"x" * 48,
    "negative": b"\xff" * 12 + bytes([FORMAT]) + b"\xff" * 40,
    "old and cut": struct.pack("<QII", 3, 0, 12) + b"x" * 13,
    "old and beyond its end": struct.pack("<QII", 3, 10_000, 12) + b"x" * 12,
}


@pytest.mark.parametrize("value", DAMAGED_ITEMS.values(), ids=DAMAGED_ITEMS)
async def test_damaged_value_fails_no_read_of_another_user(
    value: bytes, service: Service, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    damaged, others = new_user(), [new_user() for _ in range(20)]
    for user in (damaged, *others):
        await service.post_events(user, "i1", "i2")
    await redis_client.set(build_user_keys(damaged).items, value)
    users = [*others[:10], damaged, *others[10:]]
    answers = await asyncio.gather(*(service.recommend(user_id=user) for user in users))
    assert [answer["history_length"] for answer in answers] == [2] * 10 + [0] + [2] * 10
    assert {answer["served_by"] for user, answer in zip(users, answers, strict=True) if user != damaged} == {"model"}
    batch = await service.http.post("/recommend/batch", json={"requests": [{"user_id": user} for user in users]})
    assert {answer["status"] for answer in batch.json()["responses"]} == {200}


async def test_damaged_history_is_answered_with_popular_items_and_a_reason(
    service: Service, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i1")
    await redis_client.set(build_user_keys(user).items, b"x")
    errors = 'nextup_store_errors_total{operation="recent"}'
    before = await service.read_metric(errors)
    answer = await service.recommend(user_id=user)
    assert (answer["served_by"], answer["reason"]) == ("popularity", "damaged_history")
    assert await service.read_metric(errors) == before + 1
    response = await service.http.post("/recommend", json={"user_id": user, "min_history_version": 1})
    assert (response.status_code, response.json()["type"]) == (500, "urn:nextup:problem:history-is-damaged")
    assert "erase the user" in response.json()["detail"]
    assert (await service.http.delete(f"/users/{user}")).json()["keys_removed"] == 1
    assert (await service.recommend(user_id=user))["reason"] == "unknown_user"


@pytest.mark.parametrize("kind", ["short", "cut", "beyond its end", "negative"])
async def test_damaged_history_is_reported_by_reads_and_merges(
    kind: str, service: Service, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await redis_client.set(build_user_keys(user).items, DAMAGED_ITEMS[kind])
    history = await service.http.get(f"/users/{user}/history")
    merge = await service.http.post(f"/users/{new_user()}/merge", json={"from": user})
    for response in (history, merge):
        assert (response.status_code, response.json()["title"]) == (500, "History is damaged")


async def damage(client: RedisClient, user: str, kind: str) -> None:
    keys: Any = build_user_keys(user)
    await client.delete(*keys)
    if kind == "wrong type of items":
        await client.execute_command("RPUSH", keys.items, "x")
    elif kind == "old records":  # sizes that match and records that do not
        await client.set(keys.items, struct.pack("<QII", 3, 0, 12) + b"x" * 24)
        await client.set(keys.events, struct.pack("<qqIII", 0, 0, 0, 2, 28) + b"\x01" * 25)
    else:
        await client.set(keys.items, DAMAGED_ITEMS[kind])


@pytest.mark.parametrize("kind", ["wrong type of items", "old records", "short", "cut", "beyond its end", "negative"])
async def test_damaged_history_refuses_no_event_of_another_user(
    kind: str, service: Service, redis_client: RedisClient, new_user: Callable[[], str]
) -> None:
    damaged, others = new_user(), [new_user() for _ in range(9)]
    await damage(redis_client, damaged, kind)
    users = [*others[:5], damaged, *others[5:]]
    events = [{"user_id": user, "item_id": "i1", "timestamp": 5} for user in users]
    events.append({"user_id": damaged, "item_id": "i2", "timestamp": 4})
    response = await service.http.post("/events", json={"events": events})
    answer = response.json()
    assert (response.status_code, answer["stored"], answer["failed"]) == (202, 9, 2)
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["stored"] * 5 + ["failed"] + ["stored"] * 4 + ["failed"]
    assert "erase the user" in answer["results"][5]["detail"]
    assert "history_version" not in answer["results"][5]

    response = await service.http.post("/events", json={"events": [events[5], events[-1]]})
    assert (response.status_code, response.json()["title"]) == (500, "History is damaged")
    await service.http.delete(f"/users/{damaged}")
    answer = (await service.http.post("/events", json={"events": events})).json()
    assert (answer["stored"], answer["duplicate"], answer["failed"]) == (2, 9, 0)
