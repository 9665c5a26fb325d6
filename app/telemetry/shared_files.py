"""Reads the files through which processes share metrics, while others create, grow and remove them.

The library creates a file empty and enlarges it in a second step. Whoever reads it in between, or after its process was
killed in between, gets an error from the library, and with it no metrics of any process.
"""

import logging
import struct
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric, multiprocess
from prometheus_client.mmap_dict import MmapedDict

log = logging.getLogger("nextup")

MAX_TRIES = 5
DAMAGES = (RuntimeError, struct.error, ValueError)
"""Errors of the library for a file whose content is damaged; UnicodeDecodeError is a ValueError."""


def merge_files(folder: Path) -> Iterable[Metric]:
    """Merge the metrics of all processes; a damaged file is omitted with a warning."""
    for _ in range(MAX_TRIES):
        try:
            return _merge(_list_files(folder))
        except FileNotFoundError:
            continue  # the supervisor has moved its counters to another file meanwhile
        except DAMAGES:
            break
    return _merge([path for path in _list_files(folder) if read_values(Path(path)) is not None])


def read_values(path: Path) -> dict[str, float] | None:
    """Read the values of a file; none if it does not exist or is still empty, None if it is damaged."""
    try:
        if path.stat().st_size == 0:
            return {}
        values = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
        return {key: value for key, value, _, _ in values}
    except FileNotFoundError:
        return {}
    except DAMAGES as error:
        log.warning("%s is damaged (%s); its metrics are omitted", path, error)
        return None


def _list_files(folder: Path) -> list[str]:
    """List the files that their processes have enlarged; none of them becomes empty again."""
    files = []
    for path in folder.glob("*.db"):
        try:
            if path.stat().st_size:
                files.append(str(path))
        except FileNotFoundError:
            continue
    return files


def _merge(files: list[str]) -> Iterable[Metric]:
    metrics: Iterable[Metric] = multiprocess.MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return metrics
