"""Deferred metrics have the same values as direct observations."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram

from app.telemetry.deferred_metrics import DeferredCounter, DeferredHistogram, flush_periodically

BOUNDS = (0.1, 1.0, 10.0)


def create_histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("seconds", "For a test.", registry=registry, buckets=BOUNDS)


def collect_samples(registry: CollectorRegistry) -> dict[str, float]:
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {
        sample.name + sample.labels.get("le", ""): sample.value
        for sample in samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 1.0, 10.0, 11.0, 1e9]) | st.floats(0, 20), max_size=50))
def test_flushed_histogram_equals_direct_observations(values: list[float]) -> None:
    direct_registry, deferred_registry = CollectorRegistry(), CollectorRegistry()
    direct = create_histogram(direct_registry)
    deferred = DeferredHistogram(create_histogram(deferred_registry))
    for index, value in enumerate(values):
        direct.observe(value)
        deferred.observe(value)
        if index == len(values) // 2:
            deferred.flush()
    deferred.flush()
    assert collect_samples(deferred_registry) == pytest.approx(collect_samples(direct_registry))


def test_histogram_counts_along_and_flushes_each_value_once() -> None:
    registry = CollectorRegistry()
    deferred = DeferredHistogram(create_histogram(registry), Counter("requests", "For a test.", registry=registry))
    counter = DeferredCounter(Counter("answers", "For a test.", registry=registry))
    for _ in range(3):
        deferred.observe(0.5)
        counter.increment()
    assert collect_samples(registry)["requests_total"] == 0
    for _ in range(2):
        deferred.flush()
        counter.flush()
    samples = collect_samples(registry)
    assert [samples[name] for name in ("requests_total", "seconds_count", "answers_total")] == [3, 3, 3]


def test_values_observed_during_a_flush_are_not_lost() -> None:
    registry = CollectorRegistry()
    deferred = DeferredHistogram(create_histogram(registry))
    threads = [threading.Thread(target=_observe, args=(deferred.observe,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        deferred.flush()
    deferred.flush()
    assert collect_samples(registry)["seconds_count"] == 3 * 20_000


def _observe(observe: Callable[[float], None]) -> None:
    for _ in range(20_000):
        observe(0.5)


@pytest.mark.anyio
async def test_remaining_values_are_flushed_at_the_end() -> None:
    registry = CollectorRegistry()
    deferred = DeferredHistogram(create_histogram(registry))
    async with flush_periodically():
        deferred.observe(2.0)
    assert collect_samples(registry)["seconds_sum"] == 2.0
