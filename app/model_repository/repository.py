"""Model repository: a folder with an artifact in it, with published versions in it, or with both.

    FOLDER/manifest.json, …   an artifact in the folder itself, as `nextup train --out FOLDER` writes it
    FOLDER/<version>/         published versions; they are never changed
    FOLDER/current            one line, the target version; without it, the artifact of the folder itself is the target

`current` is the only state that processes share: activating a version replaces it, and every worker polls it. This
module loads no torch, which the parent of the workers does not need, and verifies no artifact; loading one does.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST, CURRENT, LOCK = "manifest.json", "current", ".activating"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Allowed names of versions and of their files; never a path."""

PointerStamp = tuple[int, int]


class LockHeld(Exception):
    """Another process is activating a version."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version on disk as its manifest describes it, unverified; `files` holds sha256 and bytes by file name.

    `verdict` compares the model with baselines; None for artifacts without a comparison.
    """

    folder: Path
    version: str
    preset: str
    created: str
    figures: dict[str, float]
    files: dict[str, dict[str, Any]]
    verdict: dict[str, Any] | None = None

    @property
    def disk_bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())


class ModelRepository:
    def __init__(self, path: Path) -> None:
        self.path = path

    def list_versions(self) -> list[StoredVersion]:
        """List all readable versions, oldest first; a version that is stored twice appears once."""
        manifests = (self.path / MANIFEST, *sorted(self.path.glob(f"[!.]*/{MANIFEST}")))
        readable = [stored for file in manifests if (stored := read_version(file.parent))]
        unique = {stored.version: stored for stored in reversed(readable)}
        return sorted(unique.values(), key=lambda stored: (stored.created, stored.version))

    def find(self, version: str) -> StoredVersion | None:
        return next((stored for stored in self.list_versions() if stored.version == version), None)

    def get_target_version(self) -> str | None:
        """Version that every worker should serve; None if there is neither a pointer nor an artifact."""
        try:
            return (self.path / CURRENT).read_text().strip()
        except FileNotFoundError:
            stored = read_version(self.path)
            return None if stored is None else stored.version

    def find_target_folder(self) -> Path:
        """Folder of the target version; ValueError if there is none."""
        if not (self.path / CURRENT).exists():
            if (self.path / MANIFEST).is_file():
                return self.path
            raise ValueError(f"{self.path} holds no artifact; train one, or try `nextup serve --demo`")
        target = self.get_target_version() or ""
        stored = self.find(target)
        if stored is None:
            raise ValueError(f"{self.path / CURRENT} names version {target!r}, which is not in {self.path}")
        return stored.folder

    def has_artifact(self) -> bool:
        return (self.path / CURRENT).exists() or (self.path / MANIFEST).is_file()

    def set_target_version(self, version: str) -> None:
        """Replace the pointer atomically: readers see the old version or the new one."""
        partial = self.path / f".{CURRENT}-{os.getpid()}"
        partial.write_text(f"{version}\n")
        partial.replace(self.path / CURRENT)

    def read_pointer_stamp(self) -> PointerStamp | None:
        """Identify the pointer file: the stamp changes whenever the file is replaced; None if there is none."""
        try:
            status = (self.path / CURRENT).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Exclude all other processes of this machine from the block; LockHeld immediately if one is in it."""
        import fcntl  # not available on Windows, where workers are not separate processes either

        with (self.path / LOCK).open("ab") as lock:  # closing releases the lock, also when the process is killed
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockHeld from None
            yield


def read_version(folder: Path) -> StoredVersion | None:
    """Read the manifest; None if there is none, it is unreadable, or one of its names is not allowed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {name: {key: file[key] for key in ("sha256", "bytes")} for name, file in manifest["files"].items()}
        stored = StoredVersion(
            folder=folder,
            version=str(manifest["version"]),
            preset=str(manifest["preset"]),
            created=str(manifest["created"]),
            figures=dict(manifest["figures"]),
            files=files,
            verdict=None if (verdict := manifest.get("verdict")) is None else dict(verdict),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return stored if all(map(NAME.fullmatch, (stored.version, *stored.files))) else None
