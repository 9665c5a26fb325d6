"""GET /models and POST /models/{version}/activate: which versions there are, and which one serves."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.admin.schemas import Activated, Version, Versions
from app.admin.service import ModelService
from app.dependencies import state
from app.inference import Servable
from app.problems import declared
from app.versions import StoredVersion

router = APIRouter(tags=["models"])
Service = Annotated[ModelService, Depends(state("models"))]


@router.get("/models", responses=declared(500))
async def models(service: Service) -> Versions:
    """Every version that could serve, the oldest first, and which one does. Several workers change one by one."""
    stored, wanted = await service.stored(), await service.wanted()
    servable = service.servable
    others = [_stored(version) for version in stored if version.version != servable.version]
    found = sorted([_serving(servable), *others], key=lambda version: version.created)
    return Versions(models=found, active=servable.version, wanted=wanted)


@router.post("/models/{version}/activate", responses=declared(404, 409, 422, 500))
async def activate(version: Annotated[str, Path(min_length=1, max_length=128)], service: Service) -> Activated:
    """Load a version beside the one that serves, check it, and let it serve; no request is lost.

    409 if it does not load or does not answer as when it was written, and while another one is being loaded: then the
    old version goes on. Other workers follow within seconds. Activating an older version is the way back.
    """
    before = await service.activate(version)
    return Activated(active=service.servable.version, wanted=await service.wanted(), before=before)


def _serving(servable: Servable) -> Version:
    artifact, predictor = servable.artifact, servable.artifact.predictor
    return Version(
        version=artifact.version,
        preset=artifact.preset,
        active=True,
        device=predictor.device,
        dtype=predictor.dtype,
        runner=predictor.runner.name,
        num_items=artifact.catalogue.num_items,
        max_len=predictor.max_len,
        created=artifact.manifest["created"],
        figures=artifact.manifest["figures"],
        bytes=servable.bytes_by_part(),
        disk_bytes=sum(file["bytes"] for file in artifact.manifest["files"].values()),
        scoring=predictor.scoring,
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
