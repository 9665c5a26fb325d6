"""Counter of processes that were started again; supervisors import this module alone.

The gauges of `app/telemetry/metrics.py` would exist for every process that imports it, with the value 0 in the minimum
over all processes. Import it after PROMETHEUS_MULTIPROC_DIR is set.
"""

from prometheus_client import Counter

RESTARTS = Counter(
    "nextup_restarts", "Processes of the service that were replaced, by process and reason.", ["process", "reason"]
)
PROCESSES = ("worker", "model", "redis")
REASONS = ("exited", "killed", "start_failed", "loop_stalled", "model_stalled", "unresponsive", "requested")
"""Ended by itself, by a signal, before it served; hangs (three ways to notice it); on behalf of an operator."""


def count_restart(process: str, reason: str) -> None:
    """Count one replacement of a process."""
    RESTARTS.labels(process, reason).inc()
