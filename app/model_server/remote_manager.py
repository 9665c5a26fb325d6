"""Which versions there are and which one serves, as endpoints see it; and how a process without a model answers that.

The folder of versions is read here, whoever has the model; loading and changing are the business of who has it
(`service.py`). No HTTP, no torch.
"""

import asyncio
from pathlib import Path
from typing import Protocol

from app.errors import ArtifactRejected
from app.inference import ServingVersion
from app.inference.remote.engine import RemoteEngine
from app.model_repository.repository import ModelRepository, StoredVersion


class Models(Protocol):
    @property
    def servable(self) -> ServingVersion: ...

    async def list_versions(self) -> list[StoredVersion]: ...

    async def get_target_version(self) -> str: ...

    async def activate(self, version: str) -> str:
        """The version that served before. NotFound, ArtifactRejected, ActivationInProgress, or with the model in another
        process ModelUnavailable: nothing has changed then, as far as anybody here knows.
        """


class RemoteModelManager:
    """For a process whose model is elsewhere."""

    def __init__(self, versions: ModelRepository, engine: RemoteEngine) -> None:
        self._versions = versions
        self._engine = engine

    @property
    def servable(self) -> ServingVersion:
        return self._engine.servable

    async def list_versions(self) -> list[StoredVersion]:
        return await asyncio.to_thread(self._versions.versions)

    async def get_target_version(self) -> str:
        return await asyncio.to_thread(self._versions.get_target_version) or self.servable.version

    async def activate(self, version: str) -> str:
        return await self._engine.activate(version)


def resolve_target_folder(versions: ModelRepository) -> Path:
    """ArtifactRejected if there is none."""
    try:
        return versions.find_target_folder()
    except ValueError as error:
        raise ArtifactRejected(str(error)) from error
