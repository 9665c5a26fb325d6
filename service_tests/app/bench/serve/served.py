"""A real uvicorn in the test's own loop, that does to a request what its user is called."""

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
from service_tests.app.bench.serve.tallies import PLAN

SHORT_S, LONG_S, STOP_S = 0.002, 0.05, 0.3


@dataclass
class Server:
    """Does to a request what its user is called, and counts."""

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
            time.sleep(STOP_S)  # noqa: ASYNC251 - nobody is answered meanwhile
        if user == "hangs":
            await receive()  # until the other side has gone
            return
        body = json.dumps({"served_by": user, "model_version": "v1"}).encode()
        length = len(body) + (user == "breaks off")
        start = {"type": "http.response.start", "status": status}
        await send({**start, "headers": [(b"content-length", str(length).encode()), *headers]})
        await send({"type": "http.response.body", "body": body})  # too short: uvicorn closes the connection


@asynccontextmanager
async def served(server: Server, *users: str) -> AsyncIterator[LoadProfile]:
    """A plan of requests of these users in turn, for a server that runs."""
    port = find_free_port()
    config = uvicorn.Config(server, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    uvicorn_server = uvicorn.Server(config)
    task = asyncio.create_task(uvicorn_server.serve())
    while not uvicorn_server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
        await asyncio.sleep(0.01)
    try:
        yield replace(PLAN, port=port, bodies=tuple(json.dumps({"user_id": user}) for user in users))
    finally:
        uvicorn_server.should_exit = True
        await task
