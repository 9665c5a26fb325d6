"""Text of /metrics: the metrics of all processes together."""

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Metric, exposition, multiprocess, openmetrics
from prometheus_client.registry import Collector

from app.telemetry.deferred_metrics import flush
from app.telemetry.metrics import MODEL_INFO, MULTIPROCESS


def render_metrics(accept: str) -> tuple[bytes, str]:
    """Render the metrics of all processes and return the content type: OpenMetrics if the client accepts it."""
    flush()
    registry = PROCESS_REGISTRY
    if MULTIPROCESS:
        registry = CollectorRegistry()
        _remove_dead_processes(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        registry.register(_ServingModelCollector())
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
            multiprocess.mark_process_dead(int(pid), folder)  # type: ignore[no-untyped-call]
        except PermissionError:
            continue


class _ServingModelCollector(Collector):
    """Collects from the files of all processes, without model versions that no worker serves any more."""

    def __init__(self) -> None:
        self._files = multiprocess.MultiProcessCollector(None)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterable[Metric]:
        (info,) = MODEL_INFO.describe()
        for metric in self._files.collect():  # type: ignore[no-untyped-call]
            if metric.name == info.name:
                metric.samples = [sample for sample in metric.samples if sample.value]
            yield metric
