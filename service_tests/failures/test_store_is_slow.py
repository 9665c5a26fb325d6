"""A Redis that is slow, away for moments, or that an erasure has emptied: answers in time, and none that are wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import pytest

from service_tests.support.service import Service
from service_tests.support.store_proxy import StoreProxy, run_store_proxy

pytestmark = pytest.mark.anyio

OPEN = 'nextup_circuit_changes_total{circuit="store",state="open"}'
STATE = 'nextup_circuit_state{circuit="store"}'
READ_S = 1.0
"""A tenth of the deadline of 10 s."""
PATIENCE_S = 60.0


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[StoreProxy]:
    async with run_store_proxy(unquote(redis_url.removeprefix("unix://"))) as running:
        yield running


@pytest.fixture
async def service(service_with: Callable[..., Any], proxy: StoreProxy) -> AsyncIterator[Service]:
    url = f"redis://127.0.0.1:{proxy.port}"
    async with service_with(redis_url=url, redis_timeout_ms=5000, store_deadline_share=0.1) as running:
        yield running


async def wait_until_model_answers(service: Service, user: str) -> dict[str, Any]:
    answers: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE_S):
        while not answers or answers[-1]["served_by"] != "model":
            answers.append(await service.recommend(user_id=user))
            await asyncio.sleep(0.02)
    return answers[-1]


async def test_slow_redis_is_used_while_its_share_of_the_deadline_is_enough(
    service: Service, proxy: StoreProxy, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    expected = await service.recommend(user_id=user)
    opened_before = await service.read_metric(OPEN)
    proxy.delay_s = 0.15
    for _ in range(3):
        answer = await service.recommend(user_id=user)
        assert (answer["served_by"], answer["items"]) == ("model", expected["items"])
    assert await service.read_metric(OPEN) == opened_before

    proxy.delay_s = 2 * READ_S
    for _ in range(4):
        answer = await service.recommend(user_id=user)
        assert (answer["served_by"], answer["reason"]) == ("cache", "store_unavailable")
        assert answer["items"] == expected["items"]
    assert await service.read_metric(STATE) > 0, "two timeouts have opened the circuit"
    # A call that needs the store is refused without waiting for it.
    required = {"user_id": user, "min_history_version": 1}
    responses = [await service.http.post("/recommend", json=required) for _ in range(10)]
    assert {response.status_code for response in responses} == {503}
    assert all(int(response.headers["retry-after"]) >= 1 for response in responses)

    proxy.delay_s = 0.0
    assert (await wait_until_model_answers(service, user))["items"] == expected["items"]
    assert await service.read_metric(STATE) == 0


async def test_read_your_writes_is_refused_when_the_share_of_the_deadline_is_over(
    service: Service, proxy: StoreProxy, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i7")
    proxy.delay_s = 2 * READ_S
    response = await service.http.post("/recommend", json={"user_id": user, "min_history_version": 1})
    assert (response.status_code, response.json()["title"]) == (503, "Store unavailable")
    assert int(response.headers["retry-after"]) >= 1


async def test_redis_that_comes_and_goes_fails_no_recommendation(
    service: Service, proxy: StoreProxy, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    expected = (await service.recommend(user_id=user))["items"]
    for _ in range(3):
        opened_before = await service.read_metric(OPEN)
        proxy.go_away()
        for _ in range(5):
            assert (await service.recommend(user_id=user))["items"] == expected
        assert await service.read_metric(OPEN) > opened_before
        refused = await service.http.post("/events", json={"events": [{"user_id": user, "item_id": "i9"}]})
        assert refused.status_code == 503
        proxy.come_back()
        assert (await wait_until_model_answers(service, user))["items"] == expected


@pytest.mark.parametrize("change", ["erase", "merge"])
async def test_user_who_was_erased_has_no_cached_answer(
    change: str, service: Service, proxy: StoreProxy, new_user: Callable[[], str]
) -> None:
    user, other = new_user(), new_user()
    for name in (user, other):
        await service.post_events(name, "i7", "i8")
        assert (await service.recommend(user_id=name))["served_by"] == "model"
    if change == "erase":
        assert (await service.http.delete(f"/users/{user}")).status_code == 200
    else:
        assert (await service.http.post(f"/users/{new_user()}/merge", json={"from": user})).status_code == 200
    proxy.go_away()
    assert (await service.recommend(user_id=user))["served_by"] == "popularity"
    assert (await service.recommend(user_id=other))["served_by"] == "cache"


async def test_cached_answer_has_no_item_that_the_user_has_seen_or_the_request_excludes(
    service: Service, proxy: StoreProxy, new_user: Callable[[], str]
) -> None:
    user = new_user()
    await service.post_events(user, "i7", "i8")
    items = [item["item_id"] for item in (await service.recommend(user_id=user, k=10))["items"]]
    await service.post_events(user, items[0])
    # An answer that is restricted to some items is of no use for others.
    await service.recommend(user_id=user, k=1, candidates=items[5:6])
    proxy.go_away()
    answer = await service.recommend(user_id=user, k=5, exclude=[items[2]], categories=["even", "odd"])
    assert answer["served_by"] == "cache"
    assert [item["item_id"] for item in answer["items"]] == [items[1], *items[3:7]]
    answer = await service.recommend(user_id=user, k=20)
    assert len(answer["items"]) == 20
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert not {"i7", "i8", items[0]} & {item["item_id"] for item in answer["items"]}
    answer = await service.recommend(user_id=user, k=60, exclude_seen=False)
    assert len({item["item_id"] for item in answer["items"]}) == 60
