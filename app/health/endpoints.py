"""/livez, /readyz and /metrics: for machines that health_monitor."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.errors import Draining, ModelUnavailable, StoreUnavailable
from app.health.monitor import HealthMonitor
from app.http.dependencies import state
from app.http.problems import declare_errors
from app.telemetry.exposition import render_metrics

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/livez", responses=declare_errors(500))
@router.get("/healthz", responses=declare_errors(500))
async def livez() -> Health:
    """The process answers. Restart it if it does not; nothing else belongs here."""
    return Health()


@router.get("/readyz", responses=declare_errors(500, 503))
async def readyz(health_monitor: Annotated[HealthMonitor, Depends(state("health_monitor"))]) -> Health:
    """Send requests here: the model is warm and Redis answers. 503 while one is away, and during shutdown."""
    if health_monitor.draining:
        raise Draining
    if health_monitor.store_problem is not None:
        raise StoreUnavailable(health_monitor.store_problem)
    if health_monitor.model_problem is not None:
        raise ModelUnavailable(health_monitor.model_problem)
    return Health()


@router.get("/metrics", response_class=Response, responses=declare_errors(500))
async def metrics(
    request: Request, health_monitor: Annotated[HealthMonitor, Depends(state("health_monitor"))]
) -> Response:
    """Prometheus text, or OpenMetrics for who asks for it; all workers together."""
    health_monitor.update_gauges()
    content, content_type = render_metrics(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})
