"""Activation of model versions as the HTTP endpoints see it, wherever the model is; does not load torch."""

from pathlib import Path
from typing import Protocol

from app.errors import ArtifactRejected
from app.model_repository.repository import ModelRepository


class ModelActivator(Protocol):
    """Implemented by ModelManager for a model in this process and by RemoteEngine for one in another process."""

    async def activate(self, version: str) -> str:
        """Make `version` the target and serving version and return the previous one.

        NotFound, ArtifactRejected, ActivationInProgress: nothing has changed. ModelUnavailable: the connection to the
        model process ended, which may have activated the version.
        """


def resolve_target_folder(repository: ModelRepository) -> Path:
    """Folder of the target version; ArtifactRejected if there is none."""
    try:
        return repository.find_target_folder()
    except ValueError as error:
        raise ArtifactRejected(str(error)) from error
