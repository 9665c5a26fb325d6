"""/livez, /readyz and /metrics: for machines that watch."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.errors import Draining, ModelUnavailable, StoreUnavailable
from app.health.monitor import Watch
from app.http.dependencies import state
from app.http.problems import declared
from app.telemetry.exposition import exposed

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/livez", responses=declared(500))
@router.get("/healthz", responses=declared(500))
async def livez() -> Health:
    """The process answers. Restart it if it does not; nothing else belongs here."""
    return Health()


@router.get("/readyz", responses=declared(500, 503))
async def readyz(watch: Annotated[Watch, Depends(state("watch"))]) -> Health:
    """Send requests here: the model is warm and Redis answers. 503 while one is away, and during shutdown."""
    if watch.draining:
        raise Draining
    if watch.store_problem is not None:
        raise StoreUnavailable(watch.store_problem)
    if watch.model_problem is not None:
        raise ModelUnavailable(watch.model_problem)
    return Health()


@router.get("/metrics", response_class=Response, responses=declared(500))
async def metrics(request: Request, watch: Annotated[Watch, Depends(state("watch"))]) -> Response:
    """Prometheus text, or OpenMetrics for who asks for it; all workers together."""
    watch.sample()
    content, content_type = exposed(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})
