"""GET /overview."""

from typing import Annotated

from fastapi import APIRouter, Depends

from app.http.dependencies import get_state
from app.http.routing import WholePathRoute
from app.overview.schemas import Overview
from app.overview.service import OverviewService

router = APIRouter(tags=["overview"], route_class=WholePathRoute)


@router.get("/overview", operation_id="read_overview")
async def overview(service: Annotated[OverviewService, Depends(get_state("overview"))]) -> Overview:
    """Return the serving version with its figures and memory, and the last five minutes of all workers.

    Requests, latencies and batches are those of all processes; version and Redis as the worker that answers knows them.
    """
    return await service.read()
