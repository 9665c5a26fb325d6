"""Durability of names in a folder, and files that other users of the machine must not read."""

import os
import stat
from pathlib import Path

PRIVATE_FOLDER = stat.S_IRWXU | stat.S_IRWXG
"""Mode of a folder with events, before the umask: for its user and group alone."""
PRIVATE_FILE = PRIVATE_FOLDER & ~(stat.S_IXUSR | stat.S_IXGRP)


def sync_folder(folder: Path) -> None:
    """Make files that were created, renamed or removed in a folder durable; their content has its own fsync."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_private(path: str, flags: int) -> int:
    """Open a file with events, as the `opener` of `open`."""
    return os.open(path, flags, mode=PRIVATE_FILE)
