"""Scrapes the metrics of a service again and again, as Prometheus does, and keeps how far each one moved."""

import asyncio
from dataclasses import dataclass, field

from app.bench.load.json_client import CallFailed, JsonClient

SCRAPE_S = 0.5
SCRAPE_TIMEOUT_S = 2.0
UP = "up"
"""Prometheus' own metric: 0 while a scrape fails."""


@dataclass
class MetricWatch:
    """`changes` has the largest difference of each sample from its first value."""

    port: int
    changes: dict[str, float] = field(default_factory=dict)
    _first: dict[str, float] = field(default_factory=dict)
    _task: "asyncio.Task[None] | None" = None

    async def start(self) -> None:
        self._first = await self._scrape()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._compare(await self._scrape())

    def get_change(self, sample: str) -> float:
        """Return the largest change of the samples that have the first labels of `sample`."""
        return max(
            (change for name, change in self.changes.items() if name.startswith(sample.rstrip("}"))), default=0.0
        )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(SCRAPE_S)
            self._compare(await self._scrape())

    def _compare(self, samples: dict[str, float]) -> None:
        for name, value in samples.items():
            self.changes[name] = max(self.changes.get(name, 0.0), abs(value - self._first.get(name, 0.0)))

    async def _scrape(self) -> dict[str, float]:
        client = JsonClient([self.port])
        try:
            answer = await client.call("GET", "/metrics", timeout_s=SCRAPE_TIMEOUT_S)
        except CallFailed:
            return {UP: 0.0}
        finally:
            client.close()
        lines = str(answer.body).splitlines()
        pairs = [line.rpartition(" ") for line in lines if line.startswith("nextup_") and "_bucket" not in line]
        return {UP: 1.0, **{name: float(value) for name, _, value in pairs}}
