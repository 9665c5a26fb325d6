"""The whole application in the test's process and event loop, called by a real HTTP client.

Only the socket is left out. Tests that need processes or sockets start `nextup serve` instead.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from app.inference.local_engine import InferenceEngine
from app.lifespan import AppState
from app.main import create_app
from app.model_server.manager import ModelManager
from app.model_server.process import serve_model
from app.settings import Settings


@dataclass(frozen=True)
class ModelHandles:
    """Engine and manager of the process that has the model, also when the service reaches it over a socket."""

    engine: InferenceEngine
    manager: ModelManager


@dataclass(frozen=True)
class Service:
    http: httpx.AsyncClient
    state: AppState
    model: ModelHandles

    async def recommend(self, **body: Any) -> dict[str, Any]:
        response = await self.http.post("/recommend", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def post_events(self, user_id: str, *item_ids: str) -> dict[str, Any]:
        """Store one event per item, a second apart."""
        events = [
            {"user_id": user_id, "item_id": item_id, "timestamp": 1_700_000_000 + position}
            for position, item_id in enumerate(item_ids)
        ]
        response = await self.http.post("/events", json={"events": events})
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def read_metric(self, name: str) -> float:
        """Value of one sample, named with its labels as in the exposition; 0 if it is absent."""
        text = (await self.http.get("/metrics")).text
        samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return float(samples.get(name, 0.0))


def start_recommend(service: Service, deadline_ms: str | None = None) -> "asyncio.Task[httpx.Response]":
    """Send a recommendation request without waiting for its response."""
    headers = {} if deadline_ms is None else {"X-Request-Deadline-Ms": deadline_ms}
    body = {"history": ["i7"], "k": 3}
    return asyncio.ensure_future(service.http.post("/recommend", json=body, headers=headers))


async def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Poll `condition` in the event loop; TimeoutError after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - no event is set when a queue grows
            await asyncio.sleep(0.005)


@asynccontextmanager
async def run_service(settings: Settings) -> AsyncIterator[Service]:
    """Run the service; with `model_process` "dedicated", the model server runs here too, behind a real socket."""
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        dedicated: ModelHandles | None = None
        if settings.model_process == "dedicated":
            engine, manager, _ = await stack.enter_async_context(serve_model(settings))
            dedicated = ModelHandles(engine, manager)
        state: Any = await stack.enter_async_context(app.router.lifespan_context(app))

        async def call_with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(state)  # as a server passes on the state of the lifespan
            await app(scope, receive, send)

        transport = httpx.ASGITransport(call_with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield Service(http, state, dedicated or get_model(state))


def get_model(state: AppState) -> ModelHandles:
    """Engine and manager of a service with the model in its process."""
    engine, manager = state["engine"], state["activator"]
    assert isinstance(engine, InferenceEngine)
    assert isinstance(manager, ModelManager)
    return ModelHandles(engine, manager)
