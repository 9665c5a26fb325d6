"""GET /models and POST /models/{version}/activate: list the versions and select the serving one."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path

from app.errors import ModelUnavailable
from app.http.auth import is_admin
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.inference import Engine, ServingVersion
from app.model_repository.repository import ModelRepository, StoredVersion
from app.model_server.activation import ModelActivator
from app.models_api.schemas import Activation, Version, VersionComparison, Versions

router = APIRouter(tags=["models"], route_class=WholePathRoute)
EngineDependency = Annotated[Engine, Depends(get_state("engine"))]
Repository = Annotated[ModelRepository, Depends(get_state("repository"))]
IsAdmin = Annotated[bool, Depends(is_admin)]
Activator = Annotated[ModelActivator, Depends(get_state("activator"))]


@router.get("/models", operation_id="list_models", responses=declare_errors(503))
async def models(engine: EngineDependency, repository: Repository, admin: IsAdmin) -> Versions:
    """List all versions of the repository, oldest first, and the one that serves.

    During an activation, workers switch one after another. Versions that are `ready` can be named by requests.
    """
    stored_versions = await asyncio.to_thread(repository.list_versions)
    target = await asyncio.to_thread(repository.get_target_version)
    previous = await asyncio.to_thread(repository.get_previous_version)
    servable, residents = engine.servable, engine.residents
    serving = _describe_serving(servable, stored_versions)
    versions = [
        serving if stored.version == serving.version else _describe_stored(stored, ready=stored.version in residents)
        for stored in stored_versions
    ]
    return Versions(
        models=versions if serving in versions else [*versions, serving],
        active=servable.version,
        target_version=target or servable.version,
        previous_version=previous,
        repository=str(repository.path.absolute()) if admin else None,
    )


@router.post("/models/{version}/activate", operation_id="activate_model", responses=declare_errors(404, 409, 503))
async def activate(
    version: Annotated[str, Path(min_length=1, max_length=128)],
    engine: EngineDependency,
    repository: Repository,
    activator: Activator,
) -> Activation:
    """Load, verify and compare a version next to the serving one, then swap them without losing a request.

    409 if the version fails to load, if its golden outputs do not match, if it fails or is far slower than the serving
    version on recent requests, or while another version is being loaded; the serving version stays in place. Other
    workers follow within seconds. Activate the previous version to roll back; if it is still in memory, it is not
    loaded again.
    """
    outcome = await activator.activate(version)
    target = await asyncio.to_thread(repository.get_target_version)
    active = engine.servable.version
    previous: str | None = outcome.previous
    if previous == version:  # it served already, so a rollback goes to the target before it
        previous = await asyncio.to_thread(repository.get_previous_version)
    return Activation(
        active=active,
        target_version=target or active,
        previous=previous,
        comparison=None
        if outcome.comparison is None
        else VersionComparison(**msgspec.structs.asdict(outcome.comparison)),
    )


def _describe_serving(servable: ServingVersion, stored_versions: Sequence[StoredVersion]) -> Version:
    info = servable.model_info
    if info is None:  # the model process has not announced it yet; the repository describes it like any other
        for stored in stored_versions:
            if stored.version == servable.version:
                return _describe_stored(stored, ready=True)
        raise ModelUnavailable(f"version {servable.version} is not in the repository, and no model serves it")
    return Version(
        version=info.version,
        preset=info.preset,
        active=True,
        ready=True,
        device=info.device,
        dtype=info.dtype,
        runner=info.runner,
        num_items=servable.catalogue.num_items,
        max_len=info.max_len,
        created=info.created,
        figures=info.figures,
        bytes=info.bytes_by_part,
        disk_bytes=info.disk_bytes,
        scoring=info.scoring,
    )


def _describe_stored(stored: StoredVersion, *, ready: bool) -> Version:
    return Version(
        version=stored.version,
        preset=stored.preset,
        active=False,
        ready=ready,
        created=stored.created,
        figures=stored.figures,
        bytes={},
        disk_bytes=stored.disk_bytes,
        scoring={},
    )
