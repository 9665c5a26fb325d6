"""Activation of model versions as the HTTP endpoints see it, wherever the model is; does not load torch."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from app.errors import ArtifactRejected, NotFound
from app.inference.comparison import ActivationOutcome
from app.model_repository.repository import ModelRepository, StoredVersion

log = logging.getLogger("nextup")

Loaded = TypeVar("Loaded")


class ModelActivator(Protocol):
    """Implemented by ModelManager for a model in this process and by RemoteEngine for one in another process."""

    async def activate(self, version: str) -> ActivationOutcome:
        """Make `version` the target and serving version and return the previous one with their comparison.

        NotFound, ArtifactRejected, ActivationInProgress: nothing has changed. ModelUnavailable: the connection to the
        model process ended, which may have activated the version.
        """


def find_version(repository: ModelRepository, version: str) -> StoredVersion:
    """Find a stored version; NotFound, or ArtifactRejected if its manifest cannot be used."""
    stored = repository.find(version)
    if stored is not None:
        return stored
    try:
        repository.check_manifest(version)
    except ValueError as error:
        raise ArtifactRejected(str(error)) from error
    raise NotFound(f"there is no version {version!r}; GET /models lists all versions")


def load_best_version(repository: ModelRepository, load: Callable[[Path], Loaded]) -> Loaded:
    """Load the target version, or the newest older one that can be loaded if that is rejected.

    Raises the error of the target, mostly ArtifactRejected, if no version can be loaded. Newer versions are not tried:
    one that an operator has rolled back would serve again.
    """
    try:
        return load(_resolve_target_folder(repository))
    except Exception as error:
        rejection = error
    for stored in _list_older_versions(repository):
        try:
            loaded = load(stored.folder)
        except Exception as error:
            log.error("version %s cannot serve either: %s", stored.version, error)
            continue
        log.error("the target version cannot serve; serving the older version %s: %s", stored.version, rejection)
        return loaded
    raise rejection


def _resolve_target_folder(repository: ModelRepository) -> Path:
    try:
        return repository.find_target_folder()
    except ValueError as error:
        raise ArtifactRejected(str(error)) from error


def _list_older_versions(repository: ModelRepository) -> list[StoredVersion]:
    """List the versions that are older than the target, newest first; all versions if the target is missing."""
    stored_versions = repository.list_versions()
    target = repository.get_target_version()
    position = next((n for n, stored in enumerate(stored_versions) if stored.version == target), len(stored_versions))
    return stored_versions[:position][::-1]
