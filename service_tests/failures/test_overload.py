"""A model that is busy or hangs: nobody waits for ever, nobody is harmed by a neighbour."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service_tests.support.model_placements import model_process as model_process
from service_tests.support.service import Service

__all__ = ["model_process"]

pytestmark = pytest.mark.anyio
ASK = {"history": ["i7"], "k": 3}


@contextmanager
def block_model(service: Service) -> Iterator[None]:
    """The model's thread does something else until the block ends."""
    release = threading.Event()
    service.model.engine._thread.submit(release.wait, 20)
    try:
        yield
    finally:
        release.set()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells when a queue has grown
            await asyncio.sleep(0.005)


def start_recommend(service: Service, deadline_ms: str | None = None) -> "asyncio.Task[httpx.Response]":
    headers = {} if deadline_ms is None else {"X-Request-Deadline-Ms": deadline_ms}
    return asyncio.ensure_future(service.http.post("/recommend", json=ASK, headers=headers))


async def test_past_its_deadline_a_request_is_told_so(service: Service) -> None:
    with block_model(service):
        response = await start_recommend(service, "30")
    assert (response.status_code, response.json()["title"]) == (504, "Deadline exceeded")
    assert (await start_recommend(service)).status_code == 200


@pytest.mark.parametrize("value", ["0", "-5", "soon", "9999999999"])
async def test_a_deadline_that_cannot_be_meant_is_refused(value: str, service: Service) -> None:
    response = await start_recommend(service, value)
    assert response.status_code == 422
    assert "x-request-deadline-ms" in response.text.lower()


async def test_when_the_queue_is_full_the_rest_gets_popular_items(service_with: Callable[..., Any]) -> None:
    async with service_with(queue_limit=2, max_batch=1) as service:
        with block_model(service):
            waiting = [start_recommend(service)]  # it runs
            await asyncio.sleep(0.05)
            waiting += [start_recommend(service), start_recommend(service)]  # they wait
            await wait_until(lambda: service.model.engine._batcher.depth == 2)
            refused = (await start_recommend(service)).json()
            assert (refused["served_by"], refused["reason"]) == ("popularity", "overloaded")
            assert [item["item_id"] for item in refused["items"]] == ["i1", "i2", "i3"]
        answers = [(await task).json() for task in waiting]
    assert [answer["served_by"] for answer in answers] == ["model"] * 3


async def test_a_client_that_leaves_is_skipped_and_harms_nobody(service: Service) -> None:
    before = await service.read_metric("nextup_cancelled_total")
    with block_model(service):
        leaving, staying = start_recommend(service), start_recommend(service)
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait([leaving])
    assert (await staying).json()["served_by"] == "model"
    assert await service.read_metric("nextup_cancelled_total") == before + 1


async def test_a_bad_query_does_not_fail_those_it_shares_a_batch_with(service: Service) -> None:
    with block_model(service):
        first = start_recommend(service)
        await asyncio.sleep(0.02)
        together = [start_recommend(service) for _ in range(3)]
        bad = asyncio.ensure_future(service.http.post("/similar", json={"item_id": "unheard"}))
        await wait_until(lambda: service.model.engine._batcher.depth == 4)
    assert (await bad).status_code == 404
    answers = [[item["item_id"] for item in (await task).json()["items"]] for task in [first, *together]]
    assert all(answer == answers[0] for answer in answers)


async def test_requests_that_come_together_share_batches(service: Service) -> None:
    batches = await service.read_metric("nextup_batch_size_count")
    with block_model(service):
        first = start_recommend(service)
        await asyncio.sleep(0.02)
        tasks = [start_recommend(service) for _ in range(8)]
        await wait_until(lambda: service.model.engine._batcher.depth == 8)
    await asyncio.gather(first, *tasks)
    assert await service.read_metric("nextup_batch_size_count") == batches + 2


async def test_shutdown_answers_what_is_queued(service_with: Callable[..., Any]) -> None:
    async with service_with() as service:
        with block_model(service):
            tasks = [start_recommend(service) for _ in range(4)]
            await asyncio.sleep(0.05)
            closing = asyncio.ensure_future(service.model.engine._batcher.close(10))
            await asyncio.sleep(0.02)
            late = await start_recommend(service)
        assert late.status_code == 503
        await closing
        assert [(await task).status_code for task in tasks] == [200] * 4
