"""The /users routes: history, erasure and merge."""

from collections.abc import Callable

import pytest

from service_tests.support.service import Service

pytestmark = pytest.mark.anyio


async def test_unknown_user_has_an_empty_history(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    answer = (await service.http.get(f"/users/{user}/history")).json()
    assert answer == {"user_id": user, "history_version": 0, "events": []}


async def test_erasure_removes_everything_and_counts_each_kind(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    await service.post_events(user, "i1", "i2")
    await service.post_events(user, "i3")
    receipt = (await service.http.delete(f"/users/{user}")).json()
    assert receipt == {"user_id": user, "keys_removed": 1, "log_entries_removed": 2, "archive": "marked"}
    assert (await service.recommend(user_id=user))["reason"] == "unknown_user"
    assert (await service.http.delete(f"/users/{user}")).json()["keys_removed"] == 0


async def test_merge_moves_the_events_in_time_order_and_erases_the_source(
    service: Service, new_user: Callable[[], str]
) -> None:
    user, anonymous = new_user(), new_user()
    await service.post_events(user, "i1", "i2", "i3")
    await service.post_events(anonymous, "i9", "i2", "i8")  # i2 at the same second: the same event
    receipt = (await service.http.post(f"/users/{user}/merge", json={"from": anonymous})).json()
    assert receipt["stored"] == 2
    events = (await service.http.get(f"/users/{user}/history")).json()["events"]
    assert [event["item_id"] for event in events] == ["i1", "i9", "i2", "i3", "i8"]
    assert (await service.http.get(f"/users/{anonymous}/history")).json()["events"] == []


async def test_merging_a_user_into_itself_is_rejected(service: Service, new_user: Callable[[], str]) -> None:
    user = new_user()
    response = await service.http.post(f"/users/{user}/merge", json={"from": user})
    assert (response.status_code, response.json()["detail"]) == (422, "from: a user cannot be merged into itself")


async def test_ids_with_slashes_and_spaces_work_escaped(service: Service) -> None:
    user = "a b%ü/c/history"
    escaped = "/users/a%20b%25%C3%BC%2Fc%2Fhistory"
    await service.post_events(user, "i1")
    answer = (await service.http.get(f"{escaped}/history")).json()
    assert (answer["user_id"], len(answer["events"])) == (user, 1)
    assert (await service.http.delete(escaped)).json()["keys_removed"] == 1
