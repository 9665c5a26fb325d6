"""The service in the test's own process and event loop: the whole application, reached by a real HTTP client.

Only the socket is left out. Tests that need processes or sockets start `nextup serve` instead.
"""

from collections.abc import AsyncIterator
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
    """Where the model is, also when the service reaches it over a socket."""

    engine: InferenceEngine
    models: ModelManager


@dataclass(frozen=True)
class Service:
    http: httpx.AsyncClient
    state: AppState
    model: "ModelHandles"

    async def recommend(self, **body: Any) -> dict[str, Any]:
        response = await self.http.post("/recommend", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def post_events(self, user_id: str, *item_ids: str) -> dict[str, Any]:
        """Events of these items, a second apart."""
        events = [
            {"user_id": user_id, "item_id": item_id, "timestamp": 1_700_000_000 + place}
            for place, item_id in enumerate(item_ids)
        ]
        response = await self.http.post("/events", json={"events": events})
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def read_metric(self, line: str) -> float:
        """The value of one sample, named as it is exposed; 0 while it is not there yet."""
        text = (await self.http.get("/metrics")).text
        values = [row.rsplit(" ", 1)[1] for row in text.splitlines() if row.rsplit(" ", 1)[0] == line]
        return float(values[0]) if values else 0.0


@asynccontextmanager
async def run_service(settings: Settings) -> AsyncIterator[Service]:
    """With `model_process` "dedicated", what that process would do happens here too, behind a real socket."""
    app = create_app(settings)
    async with AsyncExitStack() as running:
        elsewhere: ModelHandles | None = None
        if settings.model_process == "dedicated":
            engine, models, _ = await running.enter_async_context(serve_model(settings))
            elsewhere = ModelHandles(engine, models)
        opened: Any = await running.enter_async_context(app.router.lifespan_context(app))

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(opened)  # what a server does with what the lifespan yields
            await app(scope, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://nextup.test") as http:
            yield Service(http, opened, elsewhere or get_model(opened))


def get_model(state: AppState) -> ModelHandles:
    """Of a service with the model inside."""
    engine, models = state["engine"], state["models"]
    assert isinstance(engine, InferenceEngine)
    assert isinstance(models, ModelManager)
    return ModelHandles(engine, models)
