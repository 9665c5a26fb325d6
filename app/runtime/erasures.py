"""Announces to all processes of a machine that a user was erased, so that they drop their samples of queries."""

import logging
from pathlib import Path

log = logging.getLogger("nextup")

FILE = "last-erasure"


def announce_erasure(data_dir: Path) -> None:
    """Change the stamp that the other processes read once a second; without a stamp, samples expire in a minute."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / FILE).write_bytes(b"")
    except OSError as error:
        log.warning("%s cannot be written: %s; other processes keep recent queries for a minute", data_dir, error)


def read_erasure_stamp(data_dir: Path) -> int:
    """Time of the last erasure in nanoseconds; 0 if there was none."""
    try:
        return (data_dir / FILE).stat().st_mtime_ns
    except OSError:
        return 0
