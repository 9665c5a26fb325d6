"""A small disk for one test: it can be filled, emptied, and become read-only."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class SmallDisk:
    folder: Path

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """Write until nothing more fits."""
        size = CHUNK_BYTES
        with self._filler.open("ab", buffering=0) as file:
            while size:
                try:
                    file.write(b"x" * size)
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Remove what `fill` wrote."""
        self._filler.unlink()

    def set_read_only(self, is_read_only: bool) -> bool:
        """Change how the disk is mounted; False while a file is open for writing."""
        return _run("mount", "-o", f"remount,{'ro' if is_read_only else 'rw'}", str(self.folder))


@contextmanager
def mount_small_disk(folder: Path, size: str = "8m") -> Iterator[SmallDisk]:
    """Mount a disk in memory; the test is skipped where this user may not mount."""
    folder.mkdir()
    if not _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        pytest.skip("this user may not mount a disk")
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "--lazy", str(folder))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
