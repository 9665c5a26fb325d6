"""Publishing: copies an artifact into a model repository, completely or not at all, and verifies every digest.

`nextup publish` checks the content as well, and so does the service that loads the version.
"""

import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from app.model_repository.durable_files import copy_durably, replace_text
from app.model_repository.repository import PUBLISHED, ModelRepository, StoredVersion, read_version
from app.runtime.folders import sync_folder
from models.manifest import MANIFEST

BASELINE_PRESET = "popular"
"""Preset that is a baseline itself and may always be published."""


def add_version(
    folder: Path, artifact: Path, *, check: Callable[[Path], object] = lambda _: None
) -> tuple[StoredVersion, bool]:
    """Return the published version and whether it is new; ValueError says why the artifact cannot be published.

    `check` raises an error for a copy that no service could serve.
    The copy is renamed into place when it is complete and on disk, so no service ever sees a part of it, not even after
    a power failure.
    """
    source = read_version(artifact)
    if source is None:
        raise ValueError(f"{artifact} holds no artifact with a readable {MANIFEST}")
    existing = ModelRepository(folder).find(source.version)
    if existing is not None:
        if existing.files != source.files:
            raise ValueError(
                f"{existing.folder} is version {source.version} with other files; a published version is never changed"
            )
        _check_copies(existing, source)
        return existing, False
    folder.mkdir(parents=True, exist_ok=True)
    incoming = folder / f".incoming-{source.version}-{os.getpid()}"
    try:
        incoming.mkdir()
        for name in (*source.files, MANIFEST):
            if not (artifact / name).is_file():
                raise ValueError(f"{artifact / name} is missing")
            copy_durably(artifact / name, incoming / name)
        copied = read_version(incoming)
        if copied != dataclasses.replace(source, folder=incoming):
            raise ValueError(f"{artifact} was changed while it was copied; publish it again")
        if damage := _find_damage(copied):
            raise ValueError(f"{artifact} is damaged: {damage}")
        check(incoming)
        published_ns = _choose_time(folder)
        replace_text(incoming / PUBLISHED, f"{published_ns}\n")  # also syncs the names of all files
        incoming.rename(folder / source.version)
        sync_folder(folder)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    return dataclasses.replace(source, folder=folder / source.version, published_ns=published_ns), True


def check_verdict(folder: Path, artifact: Path) -> str | None:
    """Check that a model that is not in the repository yet is not worse than its baselines; ValueError if it is.

    Return a note for a model that is no better within the uncertainty, or was not compared. A version that is already
    in the repository may always be published again, so that a rollback needs no decision.
    """
    source = read_version(artifact)
    if source is None or source.preset == BASELINE_PRESET or ModelRepository(folder).find(source.version) is not None:
        return None
    if source.verdict is None:
        return f"version {source.version} was not compared with baselines; `nextup evaluate --baselines` does so"
    if source.verdict.get("passed") is False:
        raise ValueError(
            f"version {source.version} was not published: {source.verdict.get('message')}; "
            "train longer, publish the preset popular, or pass --force"
        )
    message = source.verdict.get("message")
    return f"warning: {message}" if message else None


def remove_old_versions(folder: Path, keep: int, protected: set[str]) -> list[str]:
    """Remove published versions except the newest `keep` and the `protected` ones, and return the removed ones.

    An artifact in the folder itself was not published and stays. A service that still maps a removed file keeps its
    mapping.
    """
    published = [stored for stored in ModelRepository(folder).list_versions() if stored.folder != folder]
    old = [stored for stored in published[:-keep] if stored.version not in protected]
    for stored in old:
        # Renamed first, so that an interrupted removal leaves no partial version.
        leaving = folder / f".leaving-{stored.version}-{os.getpid()}"
        stored.folder.rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)
    return [stored.version for stored in old]


def _choose_time(folder: Path) -> int:
    """Return the time in nanoseconds, or a later one than that of every published version if the clock was set back."""
    latest = max((stored.published_ns for stored in ModelRepository(folder).list_versions()), default=0)
    return max(time.time_ns(), latest + 1)


def _check_copies(published: StoredVersion, source: StoredVersion) -> None:
    """ValueError if the published copy of a version is damaged, or the one that was to be published again."""
    if damage := _find_damage(published):
        raise ValueError(
            f"version {published.version} is already published, but {published.folder} is damaged: {damage}; "
            "remove this folder, then publish an intact copy"
        )
    if not source.folder.samefile(published.folder) and (damage := _find_damage(source)):
        raise ValueError(
            f"version {source.version} is already published and intact in {published.folder}, but {source.folder} is "
            f"damaged: {damage}; nothing was changed, publish {published.folder} to activate the version"
        )


def _find_damage(stored: StoredVersion) -> str:
    """Describe the files that are not those of the manifest; empty if there are none."""
    problems = []
    for name, expected in stored.files.items():
        path = stored.folder / name
        changed = f"{name} of version {stored.version} is not the file that was written"
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif (size := path.stat().st_size) != expected["bytes"]:
            problems.append(f"{changed} ({size:,} bytes instead of {expected['bytes']:,})")
        elif _compute_digest(path) != expected["sha256"]:
            problems.append(f"{changed} (sha256 differs)")
    return ", ".join(problems)


def _compute_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
