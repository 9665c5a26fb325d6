"""The address of /metrics, /livez and /readyz of a consumer, in the event loop that also consumes.

A consumer is ready if its store answered the last health check.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api_keys import ApiKeys
from app.errors import StoreUnavailable
from app.http.auth import AuthMiddleware
from app.http.connections import ConnectionGuard
from app.http.server import build_server_options
from app.runtime.periodic import run_periodically
from app.runtime.random_ids import generate_id
from app.settings import Settings, get_plain_value
from app.stores.history import HistoryStore
from app.telemetry.exposition import render_metrics
from app.telemetry.metrics import EVENT_LOG_LIMIT, STORE_UP, sample_process_memory

HEALTH_INTERVAL_S = 2.0
MAX_CONNECTIONS = 64
STOP_S = 2.0


class StoreHealth:
    """Result of the last health check of the store."""

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self.is_up = False

    async def check(self) -> None:
        try:
            await self._store.ping()
        except StoreUnavailable:
            self.is_up = False
        else:
            self.is_up = True
        STORE_UP.set(self.is_up)


class _Server(uvicorn.Server):
    """Leaves signals to the command."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_metrics(listener: socket.socket, settings: Settings, store: HistoryStore) -> AsyncIterator[None]:
    """Serve until the block ends; /metrics requires NEXTUP_METRICS_KEY if it is set."""
    EVENT_LOG_LIMIT.set(settings.event_log_limit)
    health = StoreHealth(store)
    config = uvicorn.Config(
        build_app(settings, health),
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
        **build_server_options(settings),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="metrics")

    try:
        async with run_periodically(health.check, every_s=HEALTH_INTERVAL_S, name="health", starts_immediately=True):
            yield
    finally:
        server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(task, STOP_S)


class RequestIds:
    """ASGI middleware that gives each request an id, which problem details contain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["request_id"] = generate_id()
        await self._app(scope, receive, send)


def build_app(settings: Settings, health: StoreHealth) -> Starlette:
    async def check_readiness(_: Request) -> Response:
        if health.is_up:
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "the store does not answer"}, 503)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, ConnectionGuard]]:
        guard = ConnectionGuard(settings.with_changes(max_connections=MAX_CONNECTIONS))
        async with guard.run():
            yield {"connections": guard}  # read by the protocol of `build_server_options`

    metrics_key = get_plain_value(settings.metrics_key)
    middleware = [Middleware(RequestIds)]
    if metrics_key:
        middleware.append(Middleware(AuthMiddleware, keys=ApiKeys(""), metrics_key=metrics_key))
    return Starlette(
        routes=[Route("/metrics", read_metrics), Route("/livez", check_liveness), Route("/readyz", check_readiness)],
        middleware=middleware,
        lifespan=lifespan,
    )


async def read_metrics(request: Request) -> Response:
    sample_process_memory()
    content, content_type = render_metrics(request.headers.get("accept", ""))
    return Response(content, headers={"Content-Type": content_type})


async def check_liveness(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
