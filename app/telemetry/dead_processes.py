"""Adds the counters of processes that have ended to one file per kind, so that restarts leave no files behind.

The library keeps the counter and histogram files of every process for ever, and each scrape reads all of them. The
supervisor adds them up before it starts another process. Scrapes hold a lock meanwhile, because they list the files
first and read them afterwards. A supervisor that is killed between two steps of a merge may leave one process counted
twice, which Prometheus sees as an increase.
"""

import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from app.telemetry.shared_files import read_values

KINDS = ("counter", "histogram")
"""All gauges are those of live processes, which `render_metrics` removes."""
MERGED = "dead"
READING_LOCK = "reading.lock"
MAX_WAIT_S, POLL_S = 0.5, 0.01


def merge_dead_processes(folder: Path) -> None:
    """Replace the files of processes that have ended by their sum; skipped while a scrape reads them."""
    with _open_lock(folder) as lock:
        if not _try_lock(lock, fcntl.LOCK_EX):
            return
        for kind in KINDS:
            files = [file for file in folder.glob(f"{kind}_*.db") if is_of_dead_process(file)]
            if files:
                _merge(files, folder / f"{kind}_{MERGED}.db")


@contextmanager
def lock_for_reading(folder: Path) -> Iterator[None]:
    """Keep the set of files unchanged until the block ends; after a short wait the block runs in any case."""
    with _open_lock(folder) as lock:
        deadline = time.monotonic() + MAX_WAIT_S
        while not _try_lock(lock, fcntl.LOCK_SH) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        yield


def _merge(files: list[Path], merged: Path) -> None:
    totals = Counter[str]()
    for file in (merged, *files):
        totals.update(read_values(file) or {})
    partial = merged.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    values = MmapedDict(str(partial))  # type: ignore[no-untyped-call]
    for key, value in totals.items():
        values.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    values.close()  # type: ignore[no-untyped-call]
    partial.replace(merged)
    for file in files:
        file.unlink()


def is_of_dead_process(file: Path) -> bool:
    """Whether the process whose id is behind the first underscore of the name has ended."""
    pid = file.stem.partition("_")[2]
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


@contextmanager
def _open_lock(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder / READING_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
