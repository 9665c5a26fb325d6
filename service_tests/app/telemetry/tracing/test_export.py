"""Export of spans under failure: a collector that is down or hangs, a full queue, and shutdown."""

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
from service_tests.support.nextup_process import find_free_port
from service_tests.support.otlp_receiver import OtlpReceiver, run_receiver
from service_tests.support.service import Service, start_recommend, wait_until

pytestmark = pytest.mark.anyio
ServiceWith = Callable[..., AbstractAsyncContextManager[Service]]
SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with run_receiver() as otlp_receiver:
        yield otlp_receiver


def read_count(result: str) -> float:
    return float(SPANS.labels(result)._value.get())


@contextmanager
def open_hanging_collector() -> Iterator[str]:
    """Accept connections and never respond."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_last_spans_are_exported_before_shutdown(receiver: OtlpReceiver, service_with: ServiceWith) -> None:
    exported = read_count("exported")
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=1.0) as service:
        await service.recommend(history=["i1"])
    assert [span.name for span in receiver.get_requests()] == ["POST /recommend"]
    assert read_count("exported") - exported == len(receiver.spans) == 6, "queue, encode, score, respond, and the batch"


@pytest.mark.parametrize("model_process", ["in_process", "dedicated"])
async def test_batch_links_to_each_of_its_requests(
    model_process: str, receiver: OtlpReceiver, service_with: ServiceWith
) -> None:
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=1.0, model_process=model_process) as service:
        with service.model.engine.block_thread():
            waiting = [start_recommend(service)]  # running
            await wait_until(lambda: service.model.engine.running_batches == 1)
            waiting += [start_recommend(service) for _ in range(5)]  # queued, and so the next batch
            await wait_until(lambda: service.model.engine.queue_depth == 5)
        for each in waiting:
            assert (await each).status_code == 200
    first, second = sorted(receiver.get_batches(), key=lambda batch: batch.start_ns)
    assert [len(first.links), len(second.links)] == [1, 5]
    requests = {(span.trace_id, span.span_id): span for span in receiver.get_requests()}
    assert requests.keys() == {*first.links, *second.links}
    assert second.attributes["nextup.batch.size"] == 5
    assert second.attributes["nextup.model.version"] == service.state["engine"].servable.version
    for link in second.links:
        [encode] = [stage for stage in receiver.find_children(requests[link]) if stage.name == "encode"]
        assert second.start_ns - 1e6 <= encode.start_ns <= encode.end_ns <= second.end_ns + 1e6


async def test_ratio_0_samples_only_traces_sampled_by_clients(
    receiver: OtlpReceiver, service_with: ServiceWith
) -> None:
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=0.0) as service:
        for _ in range(20):
            response = await service.http.post("/recommend", json={"history": ["i1"]})
            assert response.headers["traceresponse"].endswith(("-00", "-02"))
        await service.http.post("/recommend", json={"history": ["i1"]}, headers={"traceparent": SAMPLED})
    assert {span.trace_id for span in receiver.get_requests()} == {"a" * 32}
    assert [len(batch.links) for batch in receiver.get_batches()] == [1]


async def test_without_endpoint_there_is_no_trace(service: Service) -> None:
    response = await service.http.post("/recommend", json={"history": ["i1"]}, headers={"traceparent": SAMPLED})
    assert "traceresponse" not in response.headers
    assert service.state["tracing"] is None


@pytest.mark.slow
async def test_unavailable_collector_is_logged_once_and_affects_no_request(
    service_with: ServiceWith, caplog: pytest.LogCaptureFixture
) -> None:
    failed, url = read_count("failed"), f"http://127.0.0.1:{find_free_port()}"
    async with service_with(otlp_endpoint=url, trace_sample_ratio=1.0, drain_s=0.0) as service:
        async with asyncio.timeout(60):
            while read_count("failed") == failed:
                await service.recommend(history=["i1"])
                await asyncio.sleep(0.02)
        assert await service.read_metric('nextup_spans_total{result="failed"}') > failed
    lines = [record.getMessage() for record in caplog.records if url in record.getMessage()]
    assert len(lines) == 1
    library = [record for record in caplog.records if record.name.startswith("opentelemetry")]
    assert library == [], "the library's own lines, three per batch, are suppressed"
    assert "rejects spans" in lines[0]
    assert "Connection refused" in lines[0]


@pytest.mark.slow
async def test_rejected_batch_is_counted_and_recovery_is_logged(
    receiver: OtlpReceiver, service_with: ServiceWith, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status, failed = 401, read_count("failed")
    async with service_with(otlp_endpoint=receiver.url, trace_sample_ratio=1.0) as service:
        for batches in (1, 2):
            await service.recommend(history=["i1"])
            await wait_until(lambda lost=failed + 6 * batches: read_count("failed") == lost)  # type: ignore[misc]
        receiver.status = 200
        await service.recommend(history=["i1"])
    lines = [record.getMessage() for record in caplog.records if receiver.url in record.getMessage()]
    assert len(lines) == 2
    assert "401" in lines[0]
    assert lines[1].endswith("accepts spans again")
    assert len(receiver.spans) == 6


async def test_shutdown_does_not_wait_for_a_hanging_collector(service_with: ServiceWith) -> None:
    with open_hanging_collector() as url:
        async with service_with(otlp_endpoint=url, trace_sample_ratio=1.0, drain_s=0.3) as service:
            await service.recommend(history=["i1"])
            stopping_at = time.monotonic()
        assert time.monotonic() - stopping_at < 2


def create_span(number: int) -> ReadableSpan:
    context = SpanContext(1, number + 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return ReadableSpan("synthetic", context, resource=Resource.get_empty(), start_time=1, end_time=2)


async def test_full_queue_drops_new_spans_without_waiting() -> None:
    dropped = read_count("dropped")
    with open_hanging_collector() as url:
        processor = BoundedSpanProcessor(url)
        spans = [create_span(number) for number in range(MAX_QUEUED_SPANS + 2 * MAX_BATCH_SPANS)]
        started_at = time.monotonic()
        for each in spans:
            processor.on_end(each)
        duration_s = time.monotonic() - started_at
        lost = read_count("dropped") - dropped
        assert MAX_BATCH_SPANS <= lost <= 2 * MAX_BATCH_SPANS, "all but those that fit and the batch in flight"
        assert duration_s < 1, "a second for thousands of spans: no span waited for the collector"
        await processor.close(0.1)
        assert read_count("dropped") - dropped >= MAX_QUEUED_SPANS, "spans in the queue at the end count too"
    processor.on_end(create_span(0))
    assert read_count("dropped") - dropped > MAX_QUEUED_SPANS
