"""/livez, /readyz and /metrics: the routes for probes and Prometheus."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.errors import Draining, ModelUnavailable, StoreUnavailable
from app.health.monitor import HealthMonitor
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.telemetry.exposition import render_metrics

router = APIRouter(tags=["health"], route_class=WholePathRoute)


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/livez", responses=declare_errors(500))
@router.get("/healthz", responses=declare_errors(500))
async def livez() -> Health:
    """Liveness: the process answers. Restart it if it does not."""
    return Health()


@router.get("/readyz", responses=declare_errors(500, 503))
async def readyz(monitor: Annotated[HealthMonitor, Depends(get_state("health_monitor"))]) -> Health:
    """Readiness: the model is warm and Redis answers. 503 while either is unavailable, and during shutdown."""
    if monitor.draining:
        raise Draining
    if monitor.store_problem is not None:
        raise StoreUnavailable(monitor.store_problem)
    if monitor.model_problem is not None:
        raise ModelUnavailable(monitor.model_problem)
    return Health()


@router.get("/metrics", response_class=Response, responses=declare_errors(500))
async def metrics(
    request: Request, monitor: Annotated[HealthMonitor, Depends(get_state("health_monitor"))]
) -> Response:
    """Return the metrics of all workers as Prometheus text, or as OpenMetrics if the Accept header asks for it."""
    monitor.update_gauges()
    content, content_type = render_metrics(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})
