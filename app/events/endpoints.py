"""POST /events: append events, answered by 202 with one result per event."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse

from app.events.schemas import EventsRequest, EventsResponse
from app.events.service import EventService
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.runtime.pacing import Pacer

router = APIRouter(tags=["events"], route_class=WholePathRoute)
Service = Annotated[EventService, Depends(get_state("events"))]


@router.post(
    "/events",
    operation_id="ingest_events",
    status_code=202,
    response_model=EventsResponse,
    responses=declare_errors(503),
)
async def ingest(body: EventsRequest, service: Service) -> JSONResponse:
    """Store 1 to 1,000 events of any users, in any order. Idempotent: an event that is sent again is a duplicate.

    Events are validated one by one; 422 if none is valid.
    """
    results = await service.ingest(body.events)
    counts = Counter(result.status for result in results)
    pacer, entries = Pacer(), []
    for result in results:
        entries.append(result.model_dump(exclude_none=True))
        await pacer.pause_if_due()
    content = {
        "results": entries,
        "stored": counts["stored"],
        "duplicate": counts["duplicate"],
        "late": counts["late"],
        "invalid": counts["invalid"],
        "ignored": counts["ignored"],
        "failed": counts["failed"],
    }
    return JSONResponse(content, status_code=202)
