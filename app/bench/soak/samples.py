"""Samples of a running service during a soak: memory, handles, Redis, metrics files and latency over time."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.bench.load.json_client import CallFailed, JsonClient
from app.bench.soak.flatness import Bound, Trend, find_trend
from app.bench.soak.mixed_traffic import TrafficCounts
from app.bench.soak.processes import find_metrics_folder, measure_processes

MIB = 1 << 20
MIN_LATENCIES = 20
"""Fewer answers make no percentile."""
STORE_SERIES = {
    "nextup_store_keys": "store_keys",
    "nextup_store_memory_bytes": "store_memory_bytes",
    "nextup_event_log_entries": "event_log_entries",
}
BOUNDS = {
    "_pss_bytes": Bound(0.08, 10 * MIB),
    "_rss_bytes": Bound(0.08, 10 * MIB),
    "_handles": Bound(0.1, 8),
    "store_keys": Bound(0.03, 20),
    "store_memory_bytes": Bound(0.05, 2 * MIB),
    "event_log_entries": Bound(0.5, 2000),
    "metrics_files": Bound(0.0, 4),
    "metrics_bytes": Bound(0.1, 1 * MIB),
    "latency_p50_s": Bound(0.5, 0.01),
    "latency_p99_s": Bound(1.0, 0.1),
}
"""By the end of the series' name. The allowance for memory covers what an allocator keeps and gives back."""


class Sampler:
    """Takes a sample of every series each `every_s` until it is cancelled."""

    def __init__(self, pid: int, port: int, oldest_worker: int, counts: TrafficCounts, *, every_s: float) -> None:
        self.series: dict[str, list[tuple[float, float]]] = {}
        self._pid, self._port, self._oldest_worker = pid, port, oldest_worker
        self._counts = counts
        self._every_s = every_s
        self._metrics_folder = find_metrics_folder(oldest_worker)

    async def run(self) -> None:
        client = JsonClient([self._port])
        try:
            while True:
                await asyncio.sleep(self._every_s)
                now = time.monotonic()
                for name, value in [*self._measure(), *await _read_store(client)]:
                    self.series.setdefault(name, []).append((now, value))
        finally:
            client.close()

    def find_trends(self) -> dict[str, Trend]:
        return {name: find_trend(samples, find_bound(name)) for name, samples in self.series.items()}

    def _measure(self) -> Iterator[tuple[str, float]]:
        yield from measure_processes(self._pid, self._oldest_worker)
        if self._metrics_folder is not None:
            yield from _measure_folder(self._metrics_folder)
        latencies = self._counts.take_latencies()
        if len(latencies) >= MIN_LATENCIES:
            yield "latency_p50_s", float(np.percentile(latencies, 50))
            yield "latency_p99_s", float(np.percentile(latencies, 99))


def find_bound(name: str) -> Bound:
    return next(bound for ending, bound in BOUNDS.items() if name.endswith(ending))


def _measure_folder(folder: Path) -> Iterator[tuple[str, float]]:
    sizes = []
    for file in folder.glob("*.db"):
        try:
            sizes.append(file.stat().st_size)
        except FileNotFoundError:
            continue  # of a process that has just ended
    yield "metrics_files", len(sizes)
    yield "metrics_bytes", sum(sizes)


async def _read_store(client: JsonClient) -> list[tuple[str, float]]:
    """Read the gauges of the store; nothing while the scrape fails."""
    try:
        answer = await client.call("GET", "/metrics")
    except CallFailed:
        return []
    pairs = [line.split(" ")[:2] for line in str(answer.body).splitlines() if line.startswith(tuple(STORE_SERIES))]
    return [(STORE_SERIES[name], float(value)) for name, value in pairs if name in STORE_SERIES]
