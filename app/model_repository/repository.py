"""Model repository: a folder with an artifact in it, with published versions in it, or with both.

    FOLDER/manifest.json, …   an artifact in the folder itself, as `nextup train --out FOLDER` writes it
    FOLDER/<version>/         published versions; they are never changed
    FOLDER/<version>/.published   one line, when the version was published, in nanoseconds since 1970; orders versions
                              that were created in the same second
    FOLDER/current            one line, the target version; without it, the artifact of the folder itself is the target
    FOLDER/previous           one line, the target version before it

`current` is the only state that processes share: activating a version replaces it, and every worker polls it. This
module loads no torch, which the parent of the workers does not need, and verifies no artifact; loading one does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.model_repository.durable_files import replace_text
from models.manifest import MANIFEST, NAME, ManifestError, read_manifest

CURRENT, PREVIOUS, LOCK = "current", "previous", ".activating"
PUBLISHED = ".published"
MAX_POINTER_CHARACTERS = 200
MAX_TIME_CHARACTERS, MAX_TIME_NS = 21, 1 << 63

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
    published_ns: int = field(default=0, compare=False)
    """When it was published; 0 for a folder that was not, or by an earlier nextup."""

    @property
    def order(self) -> tuple[str, int, str]:
        """Key that orders versions: by their time, within a second as they were published, then by their names."""
        return self.created, self.published_ns, self.version

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
        return sorted(unique.values(), key=lambda stored: stored.order)

    def find(self, version: str) -> StoredVersion | None:
        return next((stored for stored in self.list_versions() if stored.version == version), None)

    def check_manifest(self, version: str) -> None:
        """ManifestError if there is a folder of this name whose manifest cannot be used."""
        folder = self.path / version
        if NAME.fullmatch(version) and (folder / MANIFEST).exists():
            read_manifest(folder)

    def get_target_version(self) -> str | None:
        """Version that every worker should serve; None if there is neither a pointer nor an artifact."""
        if (target := self._read_pointer(CURRENT)) is not None:
            return target
        stored = read_version(self.path)
        return None if stored is None else stored.version

    def get_previous_version(self) -> str | None:
        """Version that a rollback activates, the target before the current one; None if it never changed."""
        previous = self._read_pointer(PREVIOUS)
        return None if previous == self.get_target_version() else previous  # equal after a crash between two writes

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
        """Replace the pointer atomically and durably: readers see the old version or the new one."""
        previous = self.get_target_version()
        if previous is not None and previous != version:
            replace_text(self.path / PREVIOUS, f"{previous}\n")
        replace_text(self.path / CURRENT, f"{version}\n")

    def _read_pointer(self, name: str) -> str | None:
        try:
            with (self.path / name).open(encoding="utf-8", errors="replace") as file:
                return file.read(MAX_POINTER_CHARACTERS).strip()
        except FileNotFoundError:
            return None

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
    """Read the manifest; None if there is none, or if it cannot be used."""
    try:
        manifest = read_manifest(folder)
    except ManifestError:
        return None
    return StoredVersion(
        folder=folder,
        version=manifest["version"],
        preset=manifest["preset"],
        created=manifest["created"],
        figures=manifest["figures"],
        files=manifest["files"],
        verdict=manifest.get("verdict"),
        published_ns=_read_published_ns(folder),
    )


def _read_published_ns(folder: Path) -> int:
    try:
        with (folder / PUBLISHED).open(encoding="ascii", errors="replace") as file:
            published_ns = int(file.read(MAX_TIME_CHARACTERS))
    except (OSError, ValueError):  # published by an earlier nextup, or not published; or the file is damaged
        return 0
    return published_ns if 0 < published_ns < MAX_TIME_NS else 0
