"""Private copies of the versions that this machine's processes map, so that no change of the originals reaches them.

    ROOT/<version>-<digest>/        the files of a version, read-only
    ROOT/<version>-<digest>.lock    locked (shared) by every process that uses the copy

A process that maps a file is killed by SIGBUS when the file is truncated in place, and a hard link is the same file. So
the files are copied, by reference where the file system can (XFS, Btrfs, APFS). All processes map one copy and share
its pages. The system releases the locks of a killed process, and the next process removes copies without a lock.
"""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from app.errors import ArtifactRejected
from app.settings import Settings
from models.manifest import MANIFEST, ManifestError, read_manifest

log = logging.getLogger("nextup")

FICLONE = 0x40049409
"""Linux: share the blocks of another file, copied when one of them is written."""
LOCK_INTERVAL_S = 0.02
LOCK_TIMEOUT_S = 600.0
"""Longest wait for another process that copies the same version."""


def open_private_copies(settings: Settings) -> "PrivateCopies":
    """Copies of this machine, in the data folder."""
    return PrivateCopies(settings.data_dir.resolve() / "copies", is_enabled=settings.copy_artifacts)


class PrivateCopy:
    """A version that stays unchanged until `close`; `folder` is the original where no copy could be made."""

    def __init__(self, folder: Path, lock: int | None = None, owner: "PrivateCopies | None" = None) -> None:
        self.folder = folder
        self._lock, self._owner = lock, owner

    def close(self) -> None:
        """Release the copy, and remove it if no other process uses it; maps of its files stay valid. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None and self._owner is not None:
            os.close(lock)
            self._owner.forget(self)
            self._owner.remove_unused()

    def close_in_thread(self) -> None:
        """Close it later: removing large files takes time, and a last reference may end in the event loop."""
        threading.Thread(target=self.close, name="remove-copy", daemon=True).start()


class PrivateCopies:
    """Copies below `root`; with `is_enabled` False, versions are used where they are."""

    def __init__(self, root: Path, *, is_enabled: bool = True) -> None:
        self._root = root
        self._is_enabled = is_enabled
        self._open_copies: set[PrivateCopy] = set()

    def open(self, source: Path) -> PrivateCopy:
        """Copy a version, or share the copy that exists; ArtifactRejected if its manifest or a size is wrong.

        A machine that cannot copy, such as one with a full disk, uses the original, and a warning says so.
        """
        if not self._is_enabled:
            return PrivateCopy(source)
        try:
            manifest = read_manifest(source)
        except ManifestError as error:
            raise ArtifactRejected(str(error)) from error
        try:
            digest = hashlib.sha256((source / MANIFEST).read_bytes()).hexdigest()
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.remove_unused()
            copy = self._open(source, manifest, self._root / f"{manifest['version'][:100]}-{digest[:16]}")
        except OSError as error:
            log.warning(
                "version %s is not copied to %s: %s; do not change %s while it serves, and make room or set "
                "NEXTUP_COPY_ARTIFACTS=0",
                manifest["version"],
                self._root,
                error.strerror or error,
                source,
            )
            return PrivateCopy(source)
        self._open_copies.add(copy)
        return copy

    def forget(self, copy: PrivateCopy) -> None:
        self._open_copies.discard(copy)

    def close(self) -> None:
        """Release all copies of this process."""
        for copy in list(self._open_copies):
            copy.close()

    def remove_unused(self) -> None:
        """Remove copies that no process uses, such as those of a process that was killed."""
        for lock_path in self._root.glob("*.lock"):
            with suppress(OSError), _try_lock(lock_path, fcntl.LOCK_EX) as lock:
                if lock is not None:
                    for name in (lock_path.with_suffix(""), lock_path.with_suffix(".partial")):
                        _remove_folder(name)
                    lock_path.unlink()

    def _open(self, source: Path, manifest: dict[str, Any], folder: Path) -> PrivateCopy:
        lock_path = folder.with_name(f"{folder.name}.lock")
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while time.monotonic() < deadline:
            lock = _lock(lock_path, fcntl.LOCK_SH)
            if lock is not None and folder.is_dir():
                return PrivateCopy(folder, lock, self)
            if lock is not None:
                os.close(lock)
            with _try_lock(lock_path, fcntl.LOCK_EX) as exclusive_lock:
                if exclusive_lock is not None and not folder.is_dir():
                    _copy_version(source, manifest, folder)
                    continue
            time.sleep(LOCK_INTERVAL_S)
        raise OSError(errno.ETIMEDOUT, f"another process holds {lock_path}")


def _lock(path: Path, kind: int) -> int | None:
    """Lock a file without waiting and return its descriptor; None if another process holds it or has removed it."""
    lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)  # an open file to write would keep a disk from read-only
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


@contextmanager
def _try_lock(path: Path, kind: int) -> Iterator[int | None]:
    lock = _lock(path, kind)
    try:
        yield lock
    finally:
        if lock is not None:
            os.close(lock)


def _copy_version(source: Path, manifest: dict[str, Any], folder: Path) -> None:
    """Copy the listed files and the manifest, read-only; the name of the folder appears when it is complete."""
    partial = folder.with_name(f"{folder.name}.partial")
    _remove_folder(partial)
    partial.mkdir(mode=0o700)
    try:
        for name, listed in manifest["files"].items():
            path = source / name
            if not path.is_file():
                raise ArtifactRejected(f"{path} is missing; copy or export the artifact again")
            if path.stat().st_size != listed["bytes"]:
                raise ArtifactRejected(f"{path} does not match the manifest (size or sha256 differ); copy it again")
            _copy_file(path, partial / name)
        _copy_file(source / MANIFEST, partial / MANIFEST)
        partial.rename(folder)
    except BaseException:
        _remove_folder(partial)
        raise


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy, FICLONE, original.fileno())
        except OSError:
            shutil.copyfileobj(original, copy, 1 << 20)
    target.chmod(0o400)


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
