"""Files and folders that survive a power failure once they have their name."""

import os
import shutil
from pathlib import Path

from app.runtime.folders import sync_folder


def copy_durably(source: Path, target: Path) -> None:
    """Copy a file and sync its content; the name is durable after a sync of the folder."""
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def replace_text(path: Path, text: str) -> None:
    """Replace a file atomically and durably: readers and a machine that restarts see the old text or the new one."""
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)
