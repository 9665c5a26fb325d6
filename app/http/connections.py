"""Bounds on the connections of one process: their number, and how long each may wait for its client.

Every connection takes a file and memory before any key is checked. When all are taken, connections that wait for their
client make room, those that wait longest first. If none waits, a few more connections serve only health checks, so
that an orchestrator does not restart a service that is merely busy. One sweep reads the clocks of all connections: a
timer per request would cost more than the rest of these bounds.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Overloaded
from app.http.auth import METRICS_PATH
from app.http.overload_gate import OverloadGate
from app.http.problems import build_error_response
from app.http.raw_responses import CLOSE_HEADER
from app.runtime.machine import read_file_limit
from app.runtime.periodic import run_periodically
from app.runtime.random_ids import generate_id
from app.settings import Settings
from app.telemetry.metrics import CONNECTION_LIMIT, CONNECTIONS
from app.telemetry.rejections import RejectionLog

log = logging.getLogger("nextup")

MOST_CONNECTIONS = 10_000
"""Most connections by default: a sweep of as many takes some 5 ms."""
FEWEST_CONNECTIONS = 8
OTHER_FILES = 96
"""Files of a process that are no connections of clients and not in the pool of Redis connections."""
HEALTH_RESERVE = 32
"""Connections beyond the limit that only serve health checks and metrics."""
SWEEP_S = 0.25
MIN_WAIT_S = 1.0
"""A connection that has waited less for its client does not make room for another one."""
RESERVE_WAIT_S = 2.0
LINGER_S = 2.0
"""How long a rejected client may take to read why, before the connection is reset."""
EVICTED_SHARE = 0.05
"""Share of the connections that make room together, because finding them takes a scan of all."""
HEALTH_PATHS = frozenset({"/livez", "/readyz", "/healthz", METRICS_PATH})

ALL_TAKEN = "all connections of this process are taken (NEXTUP_MAX_CONNECTIONS); retry later"


class GuardedConnection(Protocol):
    """The part of a connection that the guard uses. Times are those of the event loop."""

    is_reserved: bool

    def get_wait_start(self) -> float | None:
        """Since when the connection waits for its client; None while a request is being answered."""

    def check_time(self, now: float) -> None:
        """Close the connection if it waits for longer than its settings allow."""

    def make_room(self) -> None:
        """Close the connection immediately in favor of another one."""


class ConnectionGuard:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.max_connections = choose_max_connections(settings, read_file_limit())
        self.rejections = RejectionLog()
        self.gate = OverloadGate(settings)
        self._connections: dict[GuardedConnection, None] = {}

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Check the times of all connections until the block ends."""
        CONNECTION_LIMIT.set(self.max_connections)
        async with run_periodically(self._sweep, every_s=SWEEP_S, name="connection sweep"), self.gate.run():
            yield

    def admit(self, connection: GuardedConnection) -> bool:
        """Register a connection, in the reserve if all others are taken; False for one that must be closed."""
        if len(self._connections) >= self.max_connections:
            self._make_room()
        connection.is_reserved = len(self._connections) >= self.max_connections
        if len(self._connections) >= self.max_connections + HEALTH_RESERVE and not self._make_room_in_reserve():
            return False
        self._connections[connection] = None
        return True

    def release(self, connection: GuardedConnection) -> None:
        self._connections.pop(connection, None)

    def _make_room(self) -> None:
        latest = asyncio.get_running_loop().time() - MIN_WAIT_S
        waiting = sorted(pair for pair in self._list_waiting() if pair[0] <= latest)
        for _, _, connection in waiting[: max(1, round(EVICTED_SHARE * self.max_connections))]:
            self.release(connection)
            connection.make_room()

    def _make_room_in_reserve(self) -> bool:
        waiting = [pair for pair in self._list_waiting() if pair[2].is_reserved]
        if waiting:
            _, _, connection = min(waiting)
            self.release(connection)
            connection.make_room()
        return bool(waiting)

    def _list_waiting(self) -> Iterator[tuple[float, int, GuardedConnection]]:
        """Start of the wait, position and connection of all that wait for their client."""
        for position, connection in enumerate(self._connections):
            since = connection.get_wait_start()
            if since is not None:
                yield since, position, connection

    async def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        CONNECTIONS.set(len(self._connections))
        for connection in list(self._connections):
            connection.check_time(now)


def choose_max_connections(settings: Settings, file_limit: int) -> int:
    """Return the limit of the settings, or one that leaves files for everything else of the process."""
    usable = max(FEWEST_CONNECTIONS, file_limit - OTHER_FILES - HEALTH_RESERVE - settings.redis_pool)
    if settings.max_connections > usable:
        log.warning(
            "NEXTUP_MAX_CONNECTIONS=%d needs more files than this process may open (%d), so the limit is %d "
            "connections; raise `ulimit -n`",
            settings.max_connections,
            file_limit,
            usable,
        )
    return min(usable, settings.max_connections or MOST_CONNECTIONS)


def build_reserved_app(app: ASGIApp, root_path: str) -> ASGIApp:
    """Wrap the application for a connection of the reserve: it answers one health check, and 503 to other requests."""

    async def answer_reserved(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], CLOSE_HEADER]
            await send(message)

        answer: ASGIApp = app
        if scope["path"].removeprefix(root_path) not in HEALTH_PATHS:
            answer = build_error_response(Overloaded(ALL_TAKEN), generate_id())
        await answer(scope, receive, send_last)

    return answer_reserved
