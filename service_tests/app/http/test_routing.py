"""Paths match as a whole, and every id that can be stored can be read, merged and erased over REST."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api_keys import generate_key
from app.stores.history import HistoryStore
from app.stores.records import NewEvent
from app.stores.redis.client import RedisClient
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
IDS = ["bob\n", "\n", "\nbob", "a\nb", "bob\r\n", "bob/history", "bob/history\n", "a\x00b", "%0A", "\u2028"]
DOTS = (".", "..")
"""Segments that HTTP clients resolve before they send a path (RFC 3986, section 5.2.4), encoded or not."""
PATHS = [
    ("POST", "/recommend"),
    ("POST", "/events"),
    ("GET", "/models"),
    ("GET", "/livez"),
    ("GET", "/metrics"),
    ("POST", "/models/v1/activate"),
    ("POST", "/users/bob/merge"),
    ("GET", "/users/bob/history"),
]


@pytest.mark.parametrize("user", IDS, ids=repr)
async def test_id_with_any_characters_is_read_merged_and_erased(user: str, service: Service) -> None:
    path = f"/users/{quote(user, safe='')}"
    await service.post_events(user, "i1")
    await service.post_events("bob", "i2")
    assert (await service.recommend(user_id=user))["history_length"] == 1
    answer = (await service.http.get(f"{path}/history")).json()
    assert (answer["user_id"], len(answer["events"])) == (user, 1)
    assert (await service.http.delete(path)).json()["keys_removed"] == 1
    assert (await service.http.get("/users/bob/history")).json()["history_version"] == 1
    receipt = (await service.http.post(f"{path}/merge", json={"from": "bob"})).json()
    assert (receipt["user_id"], receipt["stored"]) == (user, 1)
    receipt = (await service.http.post("/users/bob/merge", json={"from": user})).json()
    assert receipt["merged_from"] == user
    assert (await service.http.delete("/users/bob")).json()["keys_removed"] == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(item=st.text(st.characters(codec="utf-8"), min_size=1, max_size=128).filter(lambda item: item not in DOTS))
async def test_item_id_in_a_path_arrives_unchanged(item: str, service: Service) -> None:
    response = await service.http.get(f"/items/{quote(item, safe='')}")
    assert response.status_code in (200, 404)
    if response.status_code == 404:
        assert response.json()["detail"].endswith(f"has no item {item!r}")


@pytest.mark.parametrize("item", ["a/followers", "followers", "/followers", "a/b/followers"])
async def test_item_id_that_ends_like_a_route_is_read(item: str, service: Service) -> None:
    await service.http.put("/items", json={"items": [{"item_id": item, "title": "T"}]})
    path = f"/items/{quote(item, safe='')}"
    try:
        assert (await service.http.get(path)).json()["title"] == "T"
        assert (await service.http.head(path)).status_code == 200
        assert (await service.http.get(f"{path}/followers")).json()["item_id"] == item
        assert (await service.http.get(f"{path}/%66ollowers")).json()["item_id"] == item
    finally:
        await service.http.delete(path)


async def test_user_id_that_ends_like_a_route_is_not_another_user(service: Service) -> None:
    await service.post_events("bob", "i1")
    for method, path in (("GET", "/users/bob%2Fhistory"), ("POST", "/users/eve%2Fmerge")):
        response = await service.http.request(method, path, json={"from": "bob"} if method == "POST" else None)
        assert response.status_code == 405
    assert (await service.http.get("/users/bob/history")).json()["history_version"] == 1
    await service.http.delete("/users/bob")


@pytest.mark.parametrize("dots", DOTS)
async def test_id_that_clients_cannot_put_into_a_path_is_not_stored(
    dots: str, service: Service, new_user: Callable[[], str], redis_client: RedisClient
) -> None:
    user = new_user()
    events = [{"user_id": dots, "item_id": "i1"}, {"user_id": user, "item_id": dots}]
    invalid, stored = (await service.http.post("/events", json={"events": events})).json()["results"]
    assert (invalid["status"], stored["status"]) == ("invalid", "stored")
    assert [problem["field"] for problem in invalid["errors"]] == ["user_id"]
    assert "must not be '.' or '..'" in invalid["detail"]
    for method in ("PUT", "PATCH"):
        response = await service.http.request(method, "/items", json={"items": [{"item_id": dots}]})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "items.0.item_id")
    await HistoryStore(redis_client).append([NewEvent(dots, "i1", 1)])  # as an earlier version of nextup stored it
    assert (await service.recommend(user_id=dots))["history_length"] == 1
    receipt = (await service.http.post(f"/users/{user}/merge", json={"from": dots})).json()
    assert (receipt["stored"], receipt["keys_removed"]) == (1, 1)


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_path_with_a_final_line_break_is_another_path(method: str, path: str, service: Service) -> None:
    response = await service.http.request(method, f"{path}%0A", json={} if method == "POST" else None)
    assert response.status_code in (404, 405)


async def test_line_break_does_not_change_the_key_that_a_path_requires(
    service_with: Callable[..., AbstractAsyncContextManager[Service]],
) -> None:
    key, entry = generate_key("reader", ["read"])
    headers = {"Authorization": f"Bearer {key}"}
    event = {"events": [{"user_id": "u", "item_id": "i1"}]}
    async with service_with(api_keys=entry, metrics_key="watch") as service:
        assert (await service.http.post("/events%0A", json=event, headers=headers)).status_code == 404
        assert (await service.http.get("/metrics%0A", headers=headers)).status_code == 404
    async with service_with(metrics_key="watch") as service:
        assert (await service.http.get("/metrics%0A")).status_code == 404
