"""Shared dependencies of endpoints: lifespan state, request deadline, cancellation when the client disconnects."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from starlette.types import Receive, Scope

from app.http.client_presence import STATE_KEY, ClientPresence
from app.http.middleware import ClientDisconnected
from app.settings import Settings

DEADLINE_HEADER = "x-request-deadline-ms"
MAX_DEADLINE_MS = 600_000
LISTEN_DELAY_S = 0.05


def get_state(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Create a dependency that returns one entry of the lifespan state.

    It is async because FastAPI runs plain functions in threads.
    """

    async def get_entry(request: Request) -> Any:
        return getattr(request.state, name)

    return get_entry


async def _get_deadline(
    request: Request,
    x_request_deadline_ms: Annotated[
        int | None,
        Header(
            ge=1,
            le=MAX_DEADLINE_MS,
            description="deadline in milliseconds, after which the response is 504; capped by the service's own limit",
        ),
    ] = None,
) -> float:
    return compute_deadline(request.state.settings, x_request_deadline_ms, getattr(request.state, "received_at", None))


Deadline = Annotated[float, Depends(_get_deadline)]
"""When the request must be answered, by the event loop's `time()`."""


def compute_deadline(settings: Settings, requested_ms: int | None, received_at: float | None) -> float:
    """Compute the deadline of a request; `requested_ms` may only shorten the service's limit.

    It counts from the first byte, `received_at`, if the server knows it (app/http/protocols.py), else from now.
    """
    max_ms = settings.request_deadline_ms
    start = asyncio.get_running_loop().time() if received_at is None else received_at
    return start + min(max_ms, requested_ms or max_ms) / 1000


class DisconnectGuard:
    """Cancels the block when the client disconnects, which then ends in ClientDisconnected.

    ASGI servers do not cancel by themselves. For reads only: a write should finish. The body must have been read.
    Our own server reports disconnects in the state of the request (app/http/client_presence.py). With another one,
    listening starts after LISTEN_DELAY_S, before which most answers are ready: a listener is a task, which costs more
    than a timer that is cancelled.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._presence: ClientPresence | None = scope.get("state", {}).get(STATE_KEY)
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Task[None] | None = None
        self._is_disconnected = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        if self._presence is None:
            self._timer = asyncio.get_running_loop().call_later(LISTEN_DELAY_S, self._start)
        else:
            self._presence.add(self._cancel)

    async def __aexit__(self, _: object, __: object, trace: TracebackType | None) -> None:
        if self._presence is not None:
            self._presence.discard(self._cancel)
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None  # otherwise a cycle: its task refers to this guard
        if self._is_disconnected:  # even if the block swallowed or replaced the cancellation
            self._task.uncancel()
            traceback.clear_frames(trace)  # that of a TaskGroup is in a cycle with the error, and keeps the request
            raise ClientDisconnected from None

    def _start(self) -> None:
        self._listener = asyncio.create_task(self._listen(), name="disconnect-listener")

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel()

    def _cancel(self) -> None:
        self._is_disconnected = True
        self._task.cancel()
