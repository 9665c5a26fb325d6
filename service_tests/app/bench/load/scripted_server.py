"""A uvicorn server in the test's event loop whose response depends on the user id of a request."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn

from app.bench.load.profile import LoadProfile
from app.bench.processes import find_free_port
from service_tests.app.bench.load.load_results import PROFILE

SHORT_S, LONG_S, STOP_S = 0.002, 0.05, 0.3


@dataclass
class ScriptedServer:
    """An ASGI application that behaves as the user id says, and counts requests."""

    requests: Counter[str] = field(default_factory=Counter)
    connections: set[Any] = field(default_factory=set)
    paths: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        message = await receive()
        user = json.loads(message["body"])["user_id"]
        self.paths[scope["path"]] += 1
        self.requests[user] += 1
        self.connections.add(tuple(scope["client"]))
        headers = [(b"connection", b"close")] if user == "last" else []
        status = int(user) if user.isdigit() else 200
        if user in {"short", "long"}:
            await asyncio.sleep(SHORT_S if user == "short" else LONG_S)
        if user == "stops the world":
            time.sleep(STOP_S)  # noqa: ASYNC251 - blocks the event loop on purpose
        if user == "hangs":
            await receive()  # until the client disconnects
            return
        body = json.dumps({"served_by": user, "model_version": "v1"}).encode()
        length = len(body) + (user == "disconnects")
        start = {"type": "http.response.start", "status": status}
        await send({**start, "headers": [(b"content-length", str(length).encode()), *headers]})
        await send(
            {"type": "http.response.body", "body": body}
        )  # shorter than announced, so uvicorn closes the connection


@asynccontextmanager
async def run_server(server: ScriptedServer, *users: str) -> AsyncIterator[LoadProfile]:
    """Run the server and yield a profile with one request per user, in order."""
    port = find_free_port()
    config = uvicorn.Config(server, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    uvicorn_server = uvicorn.Server(config)
    task = asyncio.create_task(uvicorn_server.serve())
    while not uvicorn_server.started:  # noqa: ASYNC110 - uvicorn has no event for this
        await asyncio.sleep(0.01)
    try:
        yield replace(PROFILE, port=port, bodies=tuple(json.dumps({"user_id": user}) for user in users))
    finally:
        uvicorn_server.should_exit = True
        await task
