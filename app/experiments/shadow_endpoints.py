"""/models/{version}/shadow: a version answers a share of the requests in the background before it is activated."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.experiments.service import ExperimentService
from app.experiments.shadow_schemas import RemovedShadow, ShadowRequest, ShadowResults
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute

router = APIRouter(prefix="/models/{version}/shadow", tags=["models"], route_class=WholePathRoute)
Service = Annotated[ExperimentService, Depends(get_state("experiments"))]
Version = Annotated[str, Path(min_length=1, max_length=128)]


@router.put("", operation_id="start_shadow", responses=declare_errors(404, 409, 503))
async def start_shadow(version: Version, body: ShadowRequest, service: Service) -> ShadowResults:
    """Let a version answer a share of the requests in the background; no caller gets or waits for its answers.

    Every worker follows within a second, and loads the version. Its queries are the first that are dropped under load.
    Results begin again with each call.
    """
    return await service.shadow.start(version, body)


@router.get("", operation_id="read_shadow", responses=declare_errors(404, 503))
async def shadow(version: Version, service: Service) -> ShadowResults:
    """Return how its answers differ from those that were sent, over all workers, also when its time has passed."""
    return await service.shadow.read(version)


@router.delete("", operation_id="remove_shadow", responses=declare_errors(404, 503))
async def remove_shadow(version: Version, service: Service) -> RemovedShadow:
    """End the shadow, and remove its results."""
    await service.shadow.remove(version)
    return RemovedShadow(version=version)
