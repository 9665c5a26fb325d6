"""An artifact into a folder of versions: whole or not at all, and with every byte that its manifest promises.

It knows files and their digests. Whether the model answers as it should is asked by the service that loads it.
"""

import hashlib
import os
import shutil
from pathlib import Path

from app.model_repository.repository import MANIFEST, ModelRepository, StoredVersion, read_version


def add_version(folder: Path, artifact: Path) -> tuple[StoredVersion, bool]:
    """The version in the folder, and whether it is new there. ValueError names what is wrong with the artifact.

    It is copied beside and renamed, so that no service ever sees a part of it.
    """
    given = read_version(artifact)
    if given is None:
        raise ValueError(f"{artifact} holds no artifact whose {MANIFEST} can be read")
    found = ModelRepository(folder).find(given.version)
    if found is not None:
        if found.files != given.files:
            raise ValueError(
                f"{found.folder} is version {given.version} with other files; a published version is never changed"
            )
        _check(found)
        return found, False
    folder.mkdir(parents=True, exist_ok=True)
    incoming = folder / f".incoming-{given.version}-{os.getpid()}"
    try:
        incoming.mkdir()
        for name in (*given.files, MANIFEST):
            if not (artifact / name).is_file():
                raise ValueError(f"{artifact / name} is missing")
            shutil.copyfile(artifact / name, incoming / name)
        copied = read_version(incoming)
        if copied != _moved(given, incoming):
            raise ValueError(f"{artifact} was changed while it was copied")
        _check(copied)
        incoming.rename(folder / given.version)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    return _moved(given, folder / given.version), True


def remove_old_versions(folder: Path, keep: int, needed: set[str]) -> list[str]:
    """Remove published versions but for the newest `keep` and those that are `needed`; what was removed.

    An artifact that lies in the folder itself was not published, and stays. A service that still maps a removed file
    keeps what it mapped.
    """
    published = [stored for stored in ModelRepository(folder).versions() if stored.folder != folder]
    old = [stored for stored in published[:-keep] if stored.version not in needed]
    for stored in old:
        # Renamed first: a removal that stops half-way leaves no half version.
        leaving = folder / f".leaving-{stored.version}-{os.getpid()}"
        stored.folder.rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)
    return [stored.version for stored in old]


def _moved(stored: StoredVersion, folder: Path) -> StoredVersion:
    return StoredVersion(folder, stored.version, stored.preset, stored.created, stored.figures, stored.files)


def _check(stored: StoredVersion) -> None:
    for name, written in stored.files.items():
        path = stored.folder / name
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if (digest, path.stat().st_size) != (written["sha256"], written["bytes"]):
            raise ValueError(f"{name} of version {stored.version} is not the file that was written (sha256 differs)")
