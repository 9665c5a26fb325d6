"""The versions that a service may serve: a folder with an artifact in it, with published versions in it, or with both.

    FOLDER/manifest.json, …   an artifact in the folder itself, as `nextup train --out FOLDER` writes it
    FOLDER/<version>/         versions that were published into it; they are never changed
    FOLDER/current            one line, the version that is wanted; without it, the artifact of the folder itself is

`current` is all that processes share: who activates a version replaces it, and every worker looks at it. It knows no
torch, so that the parent of the workers need not load it, and checks no artifact: who loads one does.
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
"""Of a version, and of a file in it: never a path."""

PointerStamp = tuple[int, int]


class LockHeld(Exception):
    """Another process activates a version just now."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version on disk, by its manifest; nothing of it was checked."""

    folder: Path
    version: str
    preset: str
    created: str
    figures: dict[str, float]
    files: dict[str, dict[str, Any]]
    """sha256 and bytes of each, by its name."""

    @property
    def disk_bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())


class ModelRepository:
    def __init__(self, path: Path) -> None:
        self.path = path

    def versions(self) -> list[StoredVersion]:
        """All that can be read, the oldest first; one that is there twice is told once."""
        inside = sorted(self.path.glob(f"[!.]*/{MANIFEST}"))
        found = [stored for file in (self.path / MANIFEST, *inside) if (stored := read_version(file.parent))]
        once = {stored.version: stored for stored in reversed(found)}
        return sorted(once.values(), key=lambda stored: (stored.created, stored.version))

    def find(self, version: str) -> StoredVersion | None:
        return next((stored for stored in self.versions() if stored.version == version), None)

    def get_target_version(self) -> str | None:
        """The version that every worker should serve; None if nobody says."""
        try:
            return (self.path / CURRENT).read_text().strip()
        except FileNotFoundError:
            own = read_version(self.path)
            return None if own is None else own.version

    def find_target_folder(self) -> Path:
        """Where the artifact to serve lies; ValueError if there is none."""
        if not (self.path / CURRENT).exists():
            if (self.path / MANIFEST).is_file():
                return self.path
            raise ValueError(f"{self.path} holds no artifact; train one, or try `nextup serve --demo`")
        wanted = self.get_target_version() or ""
        stored = self.find(wanted)
        if stored is None:
            raise ValueError(f"{self.path / CURRENT} names version {wanted!r}, which is not in {self.path}")
        return stored.folder

    def has_artifact(self) -> bool:
        return (self.path / CURRENT).exists() or (self.path / MANIFEST).is_file()

    def set_target_version(self, version: str) -> None:
        """At once or not at all: who reads sees the old name or the new one."""
        partial = self.path / f".{CURRENT}-{os.getpid()}"
        partial.write_text(f"{version}\n")
        partial.replace(self.path / CURRENT)

    def read_pointer_stamp(self) -> PointerStamp | None:
        """Another one whenever `current` was replaced; None while there is none."""
        try:
            found = (self.path / CURRENT).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Nobody else in this block, in any process on this machine; LockHeld at once if somebody is."""
        import fcntl  # not on Windows, where no worker would be another process either

        with (self.path / LOCK).open("ab") as lock:  # let go of with the file, also by a process that is killed
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockHeld from None
            yield


def read_version(folder: Path) -> StoredVersion | None:
    """None if there is no manifest that can be read, or one whose names are no names."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {name: {key: of[key] for key in ("sha256", "bytes")} for name, of in manifest["files"].items()}
        stored = StoredVersion(
            folder=folder,
            version=str(manifest["version"]),
            preset=str(manifest["preset"]),
            created=str(manifest["created"]),
            figures=dict(manifest["figures"]),
            files=files,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return stored if all(map(NAME.fullmatch, (stored.version, *stored.files))) else None
