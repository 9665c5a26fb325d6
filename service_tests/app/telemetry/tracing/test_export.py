"""How spans leave when not all is well: a collector that is away or hangs, a full queue, a service that ends."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, TraceFlags

from app.telemetry.metrics import SPANS
from app.telemetry.tracing.export import MAX_BATCH_SPANS, MAX_QUEUED_SPANS, BoundedSpanProcessor
from service_tests.failures.test_overload import block_model, start_recommend, wait_until
from service_tests.support.nextup_process import find_free_port
from service_tests.support.otlp_receiver import OtlpReceiver, run_receiver
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with run_receiver() as started:
        yield started


def counted(result: str) -> float:
    return float(SPANS.labels(result)._value.get())


@contextmanager
def hanging_collector() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_the_last_spans_leave_before_the_service_ends(receiver: OtlpReceiver, service_with: ServiceWith) -> None:
    exported = counted("exported")
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=1.0) as service:
        await service.recommend(history=["i1"])
    assert [span.name for span in receiver.requests()] == ["POST /recommend"]
    assert counted("exported") - exported == len(receiver.spans) == 6, "queue, encode, score, respond, and the batch"


@pytest.mark.parametrize("model_process", ["in_process", "dedicated"])
async def test_a_batch_links_to_each_request_in_it(
    model_process: str, receiver: OtlpReceiver, service_with: ServiceWith
) -> None:
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=1.0, model_process=model_process) as service:
        with block_model(service):
            waiting = [start_recommend(service)]  # it runs
            await wait_until(lambda: len(service.model.engine._batcher._running) == 1)
            waiting += [start_recommend(service) for _ in range(5)]  # they wait, and are the next batch
            await wait_until(lambda: service.model.engine._batcher.depth == 5)
        for each in waiting:
            assert (await each).status_code == 200
    first, second = sorted(receiver.batches(), key=lambda batch: batch.start_ns)
    assert [len(first.links), len(second.links)] == [1, 5]
    requests = {(span.trace_id, span.span_id): span for span in receiver.requests()}
    assert requests.keys() == {*first.links, *second.links}
    assert second.attributes["nextup.batch.size"] == 5
    assert second.attributes["nextup.model.version"] == service.state["engine"].servable.version
    for link in second.links:
        [encode] = [stage for stage in receiver.find_children(requests[link]) if stage.name == "encode"]
        assert second.start_ns - 1e6 <= encode.start_ns <= encode.end_ns <= second.end_ns + 1e6


async def test_share_0_keeps_what_callers_keep_and_nothing_else(
    receiver: OtlpReceiver, service_with: ServiceWith
) -> None:
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=0.0) as service:
        for _ in range(20):
            response = await service.http.post("/recommend", json={"history": ["i1"]})
            assert response.headers["traceresponse"].endswith(("-00", "-02"))
        await service.http.post("/recommend", json={"history": ["i1"]}, headers={"traceparent": SAMPLED})
    assert {span.trace_id for span in receiver.requests()} == {"a" * 32}
    assert [len(batch.links) for batch in receiver.batches()] == [1]


async def test_without_an_endpoint_there_is_no_trace(service: Service) -> None:
    response = await service.http.post("/recommend", json={"history": ["i1"]}, headers={"traceparent": SAMPLED})
    assert "traceresponse" not in response.headers
    assert service.state["tracing"] is None


@pytest.mark.slow
async def test_a_collector_that_is_away_is_told_once_and_harms_nobody(
    service_with: ServiceWith, caplog: pytest.LogCaptureFixture
) -> None:
    failed, url = counted("failed"), f"http://127.0.0.1:{find_free_port()}"
    async with service_with(otlp_endpoint=url, trace_sample_ratio=1.0, drain_s=0.0) as service:
        async with asyncio.timeout(15):
            while counted("failed") == failed:
                await service.recommend(history=["i1"])
                await asyncio.sleep(0.02)
        assert await service.read_metric('nextup_spans_total{result="failed"}') > failed
    told = [record.getMessage() for record in caplog.records if url in record.getMessage()]
    assert len(told) == 1
    own = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert own == [], "the library's lines, three for every batch, are kept back"
    assert "does not take spans" in told[0]
    assert "Connection refused" in told[0]


@pytest.mark.slow
async def test_a_refused_batch_is_counted_and_the_end_of_trouble_told(
    receiver: OtlpReceiver, service_with: ServiceWith, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer, failed = 401, counted("failed")
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=1.0) as service:
        for batches in (1, 2):
            await service.recommend(history=["i1"])
            await wait_until(lambda lost=failed + 6 * batches: counted("failed") == lost)  # type: ignore[misc]
        receiver.answer = 200
        await service.recommend(history=["i1"])
    told = [record.getMessage() for record in caplog.records if receiver.url in record.getMessage()]
    assert len(told) == 2
    assert "401" in told[0]
    assert told[1].endswith("takes spans again")
    assert len(receiver.spans) == 6


async def test_an_end_does_not_wait_for_a_collector_that_hangs(service_with: ServiceWith) -> None:
    with hanging_collector() as url:
        async with service_with(otlp_endpoint=url, trace_sample_ratio=1.0, drain_s=0.3) as service:
            await service.recommend(history=["i1"])
            ending = time.monotonic()
        assert time.monotonic() - ending < 2


def span(number: int) -> ReadableSpan:
    context = SpanContext(1, number + 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return ReadableSpan("made up", context, resource=Resource.get_empty(), start_time=1, end_time=2)


async def test_a_full_queue_drops_what_comes_and_waits_for_nobody() -> None:
    dropped = counted("dropped")
    with hanging_collector() as url:
        outbox = BoundedSpanProcessor(url)
        spans = [span(number) for number in range(MAX_QUEUED_SPANS + 2 * MAX_BATCH_SPANS)]
        began = time.monotonic()
        for each in spans:
            outbox.on_end(each)
        took = time.monotonic() - began
        lost = counted("dropped") - dropped
        assert MAX_BATCH_SPANS <= lost <= 2 * MAX_BATCH_SPANS, "all but what fits, and the batch that is on its way"
        assert took < 1, "a second for thousands: nobody waited for the collector"
        await outbox.close(0.1)
        assert counted("dropped") - dropped >= MAX_QUEUED_SPANS, "what was left at the end counts too"
    outbox.on_end(span(0))
    assert counted("dropped") - dropped > MAX_QUEUED_SPANS
