"""/placements: defaults of requests under a name."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.placements.schemas import Placement, PlacementList, PlacementReceipt, RemovedPlacement
from app.placements.service import PlacementService
from app.rules.settings import NAME_PATTERN, PlacementSettings

router = APIRouter(prefix="/placements", tags=["placements"], route_class=WholePathRoute)
Service = Annotated[PlacementService, Depends(get_state("placements"))]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="1 to 64 letters, digits and _.-")]


@router.get("", operation_id="list_placements", response_model_exclude_unset=True, responses=declare_errors(503))
async def list_placements(service: Service) -> PlacementList:
    """List all placements, at most 100."""
    return PlacementList(placements=await service.list())


@router.put("/{name:id}", operation_id="put_placement", responses=declare_errors(503))
async def put_placement(name: Name, body: PlacementSettings, service: Service) -> PlacementReceipt:
    """Store defaults of requests under a name. Idempotent. Every worker follows within a second.

    A request with `"placement": NAME` has these fields, except for those that it has itself.
    """
    return await service.put(name, body)


@router.get(
    "/{name:id}",
    operation_id="read_placement",
    response_model_exclude_unset=True,
    responses=declare_errors(404, 503),
)
async def read_placement(name: Name, service: Service) -> Placement:
    """Return the settings of a placement, without fields that are not set."""
    return await service.read(name)


@router.delete("/{name:id}", operation_id="remove_placement", responses=declare_errors(404, 503))
async def remove_placement(name: Name, service: Service) -> RemovedPlacement:
    """Remove a placement; requests that name it are invalid from then on. 404 if it is not there."""
    await service.remove(name)
    return RemovedPlacement(name=name)
