"""A soak: mixed traffic, bad clients, reloads and killed workers for minutes or hours, and what must not grow.

The service is started here with an embedded Redis and temporary folders. Histories are short and users few, so that a
healthy service reaches a steady state within the warm-up.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.bench.load.json_client import JsonClient
from app.bench.processes import LOOPBACK, ChildProcess, find_free_port, run_child
from app.bench.serve.servers import NEXTUP
from app.bench.soak.bad_clients import BadClients
from app.bench.soak.disturbances import Disturbances
from app.bench.soak.flatness import Trend
from app.bench.soak.mixed_traffic import LOST_KINDS, MixedTraffic, TrafficCounts
from app.bench.soak.processes import WORKER, list_kinds
from app.bench.soak.samples import Sampler
from app.model_repository.publish import add_version
from app.model_repository.repository import ModelRepository
from models.manifest import MANIFEST

NUM_ITEMS = 100
SAMPLES = 120
MIN_SAMPLE_S = 1.0
MAX_DISTURBANCE_S = 60.0
REQUIRED_SERIES = ("worker_pss_bytes", "worker_handles", "store_keys", "latency_p50_s")
VARIABLES = {
    "NEXTUP_HISTORY_MAX_EVENTS": "30",
    "NEXTUP_ARCHIVE_S": "2",
    "NEXTUP_HEAD_TIMEOUT_S": "3",
    "NEXTUP_BODY_TIMEOUT_S": "3",
    "NEXTUP_KEEP_ALIVE_S": "5",
}


@dataclass(frozen=True, kw_only=True)
class SoakOptions:
    artifact: Path
    minutes: float
    rate: float
    users: int
    workers: int
    model_process: str
    seed: int


@dataclass(frozen=True)
class SoakResult:
    trends: dict[str, Trend]
    counts: TrafficCounts
    disturbances: dict[str, int]
    bad_clients: dict[str, int]

    @property
    def failure_reasons(self) -> list[str]:
        """Why the soak has not passed."""
        missing = [f"{name} has too few samples; soak for more minutes" for name in self._find_missing_series()]
        growing = [
            f"{name} grows by {trend.growth:,.4g}, more than {trend.bound:,.4g}"
            for name, trend in self.trends.items()
            if trend.is_flat is False
        ]
        faults = [f"{count} × {name}" for name, count in sorted(self.counts.faults.items())]
        failed = [f"{count} × {name}" for name, count in self.disturbances.items() if _has_failed(name)]
        return missing + growing + faults + failed

    def _find_missing_series(self) -> list[str]:
        """Series without a verdict: a soak that measured nothing has not passed."""
        names = dict.fromkeys([*REQUIRED_SERIES, *self.trends])
        return [name for name in names if name not in self.trends or self.trends[name].is_flat is None]

    def to_dict(self) -> dict[str, Any]:
        return {
            "calls": dict(self.counts.calls),
            "statuses": {str(status): count for status, count in sorted(self.counts.statuses.items())},
            "lost": dict(self.counts.lost),
            "faults": dict(self.counts.faults),
            "disturbances": self.disturbances,
            "bad_clients": self.bad_clients,
            "series": {name: trend.to_dict() for name, trend in self.trends.items()},
            "failure_reasons": self.failure_reasons,
            "passed": not self.failure_reasons,
        }


def run_soak(options: SoakOptions) -> SoakResult:
    """Start a service and soak it; ChildFailed if it does not start or ends, ValueError without an artifact."""
    with tempfile.TemporaryDirectory(prefix="nextup-soak-") as folder:
        versions = publish_twice(options.artifact, Path(folder) / "models")
        with _run_service(options, Path(folder)) as (process, port):
            result = asyncio.run(_soak(options, process, port, versions))
            process.check_running()
            return result


def publish_twice(artifact: Path, repository: Path) -> list[str]:
    """Publish an artifact and a copy with another version name, between which the soak switches."""
    first = ModelRepository(artifact).find_target_folder()
    with tempfile.TemporaryDirectory(prefix="nextup-soak-") as folder:
        second = Path(folder) / "copy"
        shutil.copytree(first, second)
        manifest = json.loads((second / MANIFEST).read_text())
        manifest["version"] = f"{manifest['version']}-copy"
        (second / MANIFEST).write_text(json.dumps(manifest))
        versions = [add_version(repository, version)[0].version for version in (first, second)]
    ModelRepository(repository).set_target_version(versions[0])
    return versions


@contextmanager
def _run_service(options: SoakOptions, folder: Path) -> Iterator[tuple[ChildProcess, int]]:
    port = find_free_port()
    model = ["--artifact", str(folder / "models"), "--workers", str(options.workers)]
    command = ["serve", "--host", LOOPBACK, "--port", str(port), *model, "--model-process", options.model_process]
    variables = {**VARIABLES, "NEXTUP_DATA_DIR": str(folder / "data"), "NEXTUP_REDIS_URL": ""}
    with run_child("nextup serve", ["-c", NEXTUP, *command], variables) as process:
        process.wait_until_ready(port, "/readyz", options.workers)
        yield process, port


async def _soak(options: SoakOptions, process: ChildProcess, port: int, versions: list[str]) -> SoakResult:
    seconds = options.minutes * 60
    oldest_worker = list_kinds(process.pid)[WORKER][0]
    traffic = MixedTraffic(port, await _fetch_items(port), rate=options.rate, users=options.users, seed=options.seed)
    disturbances = Disturbances(
        process.pid,
        port,
        versions,
        oldest_worker=oldest_worker,
        reload_s=min(MAX_DISTURBANCE_S, seconds / 6),
        restart_s=min(2 * MAX_DISTURBANCE_S, seconds / 4),
    )
    bad_clients = BadClients(port, options.seed)
    every_s = max(MIN_SAMPLE_S, seconds / SAMPLES)
    sampler = Sampler(process.pid, port, oldest_worker, traffic.counts, every_s=every_s)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for part in (traffic, disturbances, bad_clients, sampler):
                group.create_task(part.run())
    return SoakResult(sampler.find_trends(), traffic.counts, dict(disturbances.counts), dict(bad_clients.counts))


async def _fetch_items(port: int) -> list[str]:
    """Fetch the most popular items of the serving version."""
    client = JsonClient([port])
    answer = await client.call("POST", "/recommend", {"history": [], "k": NUM_ITEMS}, timeout_s=30.0)
    client.close()
    return [str(item["item_id"]) for item in answer.body["items"]]


def _has_failed(name: str) -> bool:
    """Whether an activation had another outcome than a switched version, or the end of the worker that was killed."""
    kind, _, outcome = name.partition(" ")
    return kind == "activation" and outcome != "200" and outcome not in LOST_KINDS
