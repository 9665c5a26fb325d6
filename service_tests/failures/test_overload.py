"""A busy or hanging model: no caller waits beyond its deadline, and no request affects another."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service_tests.support.model_placements import model_process
from service_tests.support.service import Service, start_recommend, wait_until

__all__ = ["model_process"]

pytestmark = pytest.mark.anyio


async def postpone_probe(service: Service) -> None:
    """Let the model answer: it is probed only after two idle seconds, and a probe takes a place in the queue."""
    assert (await start_recommend(service)).json()["served_by"] == "model"


async def test_request_past_its_deadline_gets_504(service: Service) -> None:
    with service.model.engine.block_thread():
        response = await start_recommend(service, "30")
    assert (response.status_code, response.json()["title"]) == (504, "Deadline exceeded")
    assert (await start_recommend(service)).status_code == 200


@pytest.mark.parametrize("value", ["0", "-5", "soon", "9999999999"])
async def test_invalid_deadline_is_rejected(value: str, service: Service) -> None:
    response = await start_recommend(service, value)
    assert response.status_code == 422
    assert "x-request-deadline-ms" in response.text.lower()


async def test_requests_beyond_a_full_queue_get_popular_items(service_with: Callable[..., Any]) -> None:
    async with service_with(queue_limit=2, max_batch=1) as service:
        await postpone_probe(service)
        with service.model.engine.block_thread():
            waiting = [start_recommend(service)]  # runs
            await wait_until(lambda: service.model.engine.running_batches == 1)
            waiting += [start_recommend(service), start_recommend(service)]  # queued
            await wait_until(lambda: service.model.engine.queue_depth == 2)
            fallback = (await start_recommend(service)).json()
            assert (fallback["served_by"], fallback["reason"]) == ("popularity", "overloaded")
            assert [item["item_id"] for item in fallback["items"]] == ["i1", "i2", "i3"]
        answers = [(await task).json() for task in waiting]
    assert [answer["served_by"] for answer in answers] == ["model"] * 3


async def test_cancelled_request_is_skipped_and_does_not_affect_others(service: Service) -> None:
    cancelled_before = await service.read_metric("nextup_cancelled_total")
    with service.model.engine.block_thread():
        cancelled, waiting = start_recommend(service), start_recommend(service)
        await asyncio.sleep(0.05)
        cancelled.cancel()
        await asyncio.wait([cancelled])
    assert (await waiting).json()["served_by"] == "model"
    assert await service.read_metric("nextup_cancelled_total") == cancelled_before + 1


async def test_failing_query_does_not_fail_the_others_of_its_batch(service: Service) -> None:
    await postpone_probe(service)
    with service.model.engine.block_thread():
        first = start_recommend(service)
        await asyncio.sleep(0.02)
        batch = [start_recommend(service) for _ in range(3)]
        failing = asyncio.ensure_future(service.http.post("/similar", json={"item_id": "unknown"}))
        await wait_until(lambda: service.model.engine.queue_depth == 4)
    assert (await failing).status_code == 404
    answers = [[item["item_id"] for item in (await task).json()["items"]] for task in [first, *batch]]
    assert all(answer == answers[0] for answer in answers)


async def test_concurrent_requests_share_batches(service: Service) -> None:
    await postpone_probe(service)
    batches_before = await service.read_metric("nextup_batch_size_count")
    with service.model.engine.block_thread():
        first = start_recommend(service)
        await asyncio.sleep(0.02)
        tasks = [start_recommend(service) for _ in range(8)]
        await wait_until(lambda: service.model.engine.queue_depth == 8)
    await asyncio.gather(first, *tasks)
    assert await service.read_metric("nextup_batch_size_count") == batches_before + 2


async def test_shutdown_answers_queued_requests(service_with: Callable[..., Any]) -> None:
    async with service_with() as service:
        with service.model.engine.block_thread():
            tasks = [start_recommend(service) for _ in range(4)]
            await asyncio.sleep(0.05)
            closing = asyncio.ensure_future(service.model.engine.close(10))
            await asyncio.sleep(0.02)
            late = await start_recommend(service)
        assert late.status_code == 503
        await closing
        assert [(await task).status_code for task in tasks] == [200] * 4
