"""The folder through which processes share counters, so that any of them can serve /metrics for all."""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger("nextup")

PREFIX = "nextup-metrics-"
LOCK = "lock"
MIN_AGE_S = 60.0
"""A younger folder may belong to a service that has not locked it yet."""


@contextmanager
def share_metrics() -> Iterator[None]:
    """Create the folder for this service and remove it at the end, as well as those of services that were killed."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    with (folder / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when this process ends, however it ends
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def merge_metrics() -> None:
    """Add up the counters of processes that have ended; an error costs only their values."""
    # Imported here: the library decides at its import whether values are shared, by the variable of `share_metrics`.
    from app.telemetry.dead_processes import merge_dead_processes

    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        try:
            merge_dead_processes(Path(folder))
        except OSError as error:
            log.warning("counters of ended processes cannot be added up in %s: %s", folder, error.strerror)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # of another user, or removed by another service at the same time
            if time.time() - folder.stat().st_mtime < MIN_AGE_S:
                continue
            with (folder / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
