"""Numbers that are handed over together are those that would have been told one by one."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from app.telemetry.deferred_metrics import DeferredCounter, DeferredHistogram, flush_periodically

BOUNDS = (0.1, 1.0, 10.0)


def histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("seconds", "For a test.", registry=registry, buckets=BOUNDS)


def told(registry: CollectorRegistry) -> dict[str, float]:
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {
        sample.name + sample.labels.get("le", ""): sample.value
        for sample in samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 1.0, 10.0, 11.0, 1e9]) | st.floats(0, 20), max_size=50))
def test_a_histogram_is_the_same_as_if_each_number_had_been_observed(values: list[float]) -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    at_once, later = histogram(one), DeferredHistogram(histogram(other))
    for place, value in enumerate(values):
        at_once.observe(value)
        later.observe(value)
        if place == len(values) // 2:
            later.flush()
    later.flush()
    assert told(other) == pytest.approx(told(one))


def test_a_count_goes_along_and_nothing_is_handed_over_twice() -> None:
    registry = CollectorRegistry()
    later = DeferredHistogram(histogram(registry), Counter("requests", "For a test.", registry=registry))
    alone = DeferredCounter(Counter("answers", "For a test.", registry=registry))
    for _ in range(3):
        later.observe(0.5)
        alone.inc()
    assert told(registry)["requests_total"] == 0
    for _ in range(2):
        later.flush()
        alone.flush()
    assert [told(registry)[name] for name in ("requests_total", "seconds_count", "answers_total")] == [3, 3, 3]


def test_numbers_that_come_while_others_are_handed_over_are_not_lost() -> None:
    registry = CollectorRegistry()
    later = DeferredHistogram(histogram(registry))
    threads = [threading.Thread(target=_observe, args=(later.observe,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        later.flush()
    later.flush()
    assert told(registry)["seconds_count"] == 3 * 20_000


def _observe(observe: Callable[[float], None]) -> None:
    for _ in range(20_000):
        observe(0.5)


@pytest.mark.anyio
async def test_what_is_left_is_handed_over_at_the_end() -> None:
    registry = CollectorRegistry()
    later = DeferredHistogram(histogram(registry))
    async with flush_periodically():
        later.observe(2.0)
    assert told(registry)["seconds_sum"] == 2.0
