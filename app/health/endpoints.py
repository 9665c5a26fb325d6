"""/livez, /readyz and /metrics: the routes for probes and Prometheus."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from app.errors import Draining, ModelUnavailable, StoreUnavailable
from app.health.monitor import HealthMonitor
from app.http.dependencies import get_state
from app.http.problems import declare_errors
from app.http.routing import LenientRoute
from app.telemetry.exposition import render_metrics

router = APIRouter(tags=["health"], route_class=LenientRoute)


class Health(BaseModel):
    """The service works."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"


@router.get("/livez", operation_id="check_liveness", responses=declare_errors(503))
@router.get("/healthz", operation_id="check_health", responses=declare_errors(503))
async def livez(monitor: Annotated[HealthMonitor, Depends(get_state("health_monitor"))]) -> Health:
    """Liveness: the process answers and its model makes progress. Restart it if not."""
    if monitor.stall is not None:
        raise ModelUnavailable(monitor.stall)
    return Health()


@router.get("/readyz", operation_id="check_readiness", responses=declare_errors(503))
async def readyz(monitor: Annotated[HealthMonitor, Depends(get_state("health_monitor"))]) -> Health:
    """Readiness: the model is warm and Redis answers. 503 while either is unavailable, and during shutdown."""
    if monitor.draining:
        raise Draining
    if monitor.store_problem is not None:
        raise StoreUnavailable(monitor.store_problem)
    if monitor.model_problem is not None:
        raise ModelUnavailable(monitor.model_problem)
    return Health()


@router.get("/metrics", operation_id="read_metrics", response_class=Response)
async def metrics(
    request: Request, monitor: Annotated[HealthMonitor, Depends(get_state("health_monitor"))]
) -> Response:
    """Return the metrics of all workers as Prometheus text, or as OpenMetrics if the Accept header asks for it."""
    monitor.update_gauges()
    content, content_type = render_metrics(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})
