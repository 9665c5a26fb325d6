"""The ASGI application: routers, middleware, exception handlers and lifespan."""

from functools import partial

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from app import __version__
from app.edge_settings import split_list
from app.environment import load_settings
from app.errors import ServiceError
from app.events.endpoints import router as events
from app.experiments.endpoints import router as experiments
from app.experiments.shadow_endpoints import router as shadow
from app.health.endpoints import router as health
from app.home.docs import mount_docs
from app.home.endpoints import router as home
from app.http.auth import AuthMiddleware
from app.http.cors import CorsPolicy
from app.http.key_rotation import load_keys
from app.http.middleware import RequestMiddleware
from app.http.openapi import complete_schema
from app.http.problems import declare_errors, on_http_error, on_invalid_request, on_service_error
from app.http.request_checks import RequestChecks
from app.http.routing import find_methods
from app.items.endpoints import router as items
from app.lifespan import build_lifespan
from app.models_api.endpoints import router as admin
from app.overview.endpoints import router as overview
from app.placements.endpoints import router as placements
from app.recommend.endpoints import router as recommend
from app.recommend.hot_path import HotPath
from app.settings import Settings, get_plain_value
from app.users.endpoints import router as users


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the application; without `settings` they are read from the environment."""
    settings = load_settings() if settings is None else settings
    keys = load_keys(settings) if AuthMiddleware.is_needed(settings) else None
    app = FastAPI(
        title="nextup",
        version=__version__,
        summary="Online next-item recommendation.",
        lifespan=build_lifespan(settings, keys),
        docs_url=None,  # the framework's pages load scripts from other hosts; app/home/docs.py has its own
        redoc_url=None,
        responses=declare_errors(422),  # otherwise FastAPI declares its own error body, which is never sent
        redirect_slashes=False,  # a redirect would be built from the caller's Host header
        # FastAPI's telemetry would record paths, which contain user ids, in spans, and rejected bodies in logs.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for router in (recommend, events, users, items, placements, admin, experiments, shadow, overview, health, home):
        app.include_router(router)
    mount_docs(app)
    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_middleware(HotPath)
    if keys is not None:
        app.add_middleware(AuthMiddleware, keys=keys, metrics_key=get_plain_value(settings.metrics_key))
    origins = split_list(settings.cors_origins)
    app.add_middleware(
        RequestMiddleware,
        checks=RequestChecks.from_settings(settings),
        max_body_bytes=settings.max_body_bytes,
        cors=CorsPolicy(origins, partial(find_methods, app.routes)) if origins else None,
        root_path=settings.root_path,
    )
    complete_schema(app, settings, has_keys=bool(keys), has_metrics_key=bool(settings.metrics_key))
    return app
