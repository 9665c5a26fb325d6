"""GET /models and POST /models/{version}/activate: which versions there are, and which one serves."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.errors import ModelUnavailable
from app.http.dependencies import state
from app.http.problems import declare_errors
from app.inference import ServingVersion
from app.model_repository.repository import StoredVersion
from app.model_server.remote_manager import Models
from app.models_api.schemas import Activated, Version, Versions

router = APIRouter(tags=["models"])
Service = Annotated[Models, Depends(state("models"))]


@router.get("/models", responses=declare_errors(500, 503))
async def models(service: Service) -> Versions:
    """Every version that could serve, the oldest first, and which one does. Several workers change one by one."""
    stored, wanted = await service.list_versions(), await service.get_target_version()
    servable = service.servable
    others = [_stored(version) for version in stored if version.version != servable.version]
    found = sorted([_serving(servable, stored), *others], key=lambda version: version.created)
    return Versions(models=found, active=servable.version, wanted=wanted)


@router.post("/models/{version}/activate", responses=declare_errors(404, 409, 422, 500, 503))
async def activate(version: Annotated[str, Path(min_length=1, max_length=128)], service: Service) -> Activated:
    """Load a version beside the one that serves, check it, and let it serve; no request is lost.

    409 if it does not load or does not answer as when it was written, and while another one is being loaded: then the
    old version goes on. Other workers follow within seconds. Activating an older version is the way back.
    """
    before = await service.activate(version)
    return Activated(active=service.servable.version, wanted=await service.get_target_version(), before=before)


def _serving(servable: ServingVersion, stored: Sequence[StoredVersion]) -> Version:
    model_info = servable.model_info
    if model_info is None:  # no model has told it; the folder knows as much as of any other version
        found = next((_stored(version) for version in stored if version.version == servable.version), None)
        if found is None:
            raise ModelUnavailable(f"nothing is known of version {servable.version}, and no model serves it")
        return found
    return Version(
        version=model_info.version,
        preset=model_info.preset,
        active=True,
        device=model_info.device,
        dtype=model_info.dtype,
        runner=model_info.runner,
        num_items=servable.catalogue.num_items,
        max_len=model_info.max_len,
        created=model_info.created,
        figures=model_info.figures,
        bytes=model_info.bytes_by_part,
        disk_bytes=model_info.disk_bytes,
        scoring=model_info.scoring,
    )


def _stored(version: StoredVersion) -> Version:
    return Version(
        version=version.version,
        preset=version.preset,
        active=False,
        created=version.created,
        figures=version.figures,
        bytes={},
        disk_bytes=version.disk_bytes,
        scoring={},
    )
