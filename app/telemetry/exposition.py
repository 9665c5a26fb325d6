"""Text of /metrics: the metrics of all processes together."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Metric, exposition, multiprocess, openmetrics
from prometheus_client.registry import Collector

from app.telemetry.dead_processes import lock_for_reading
from app.telemetry.deferred_metrics import flush
from app.telemetry.metrics import MODEL_INFO, MULTIPROCESS
from app.telemetry.shared_files import merge_files


def render_metrics(accept: str) -> tuple[bytes, str]:
    """Render the metrics of all processes and return the content type: OpenMetrics if the client accepts it."""
    flush()
    if not MULTIPROCESS:
        return _render(PROCESS_REGISTRY, accept)
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    registry = CollectorRegistry()
    with lock_for_reading(Path(folder)):
        _remove_dead_processes(folder)
        registry.register(_ServingModelCollector(Path(folder)))
        return _render(registry, accept)


def _render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    if "application/openmetrics-text" in accept:
        content: bytes = openmetrics.exposition.generate_latest(registry)  # type: ignore[no-untyped-call]
        return content, openmetrics.exposition.CONTENT_TYPE_LATEST
    return exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST


def _remove_dead_processes(folder: str) -> None:
    """Remove the live gauges of killed workers; their counters remain valid."""
    pids = {path.stem.rsplit("_", 1)[1] for path in Path(folder).glob("gauge_live*.db")}
    for pid in pids:
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker answers a scrape at the same time
                multiprocess.mark_process_dead(int(pid), folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            continue


class _ServingModelCollector(Collector):
    """Collects from the files of all processes, without model versions that no worker serves any more."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        (info,) = MODEL_INFO.describe()
        for metric in merge_files(self._folder):
            if metric.name == info.name:
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric
