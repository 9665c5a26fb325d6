"""What endpoints share: what the lifespan opened, the deadline of a request, and the end of it when its caller leaves.

It knows no use case.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from starlette.types import Receive

from app.http.middleware import ClientDisconnected
from app.settings import Settings

DEADLINE_HEADER = "x-request-deadline-ms"
MAX_DEADLINE_MS = 600_000
LISTEN_DELAY_S = 0.05


def state(name: str) -> Callable[[Request], Awaitable[Any]]:
    """A dependency that hands out one entry of the state; async, because FastAPI runs plain functions in threads."""

    async def entry(request: Request) -> Any:
        return getattr(request.state, name)

    return entry


async def _deadline(
    request: Request,
    x_request_deadline_ms: Annotated[
        int | None,
        Header(
            ge=1,
            le=MAX_DEADLINE_MS,
            description="answer within this, or 504; at most the service's own limit",
        ),
    ] = None,
) -> float:
    return compute_deadline(request.state.settings, x_request_deadline_ms)


Deadline = Annotated[float, Depends(_deadline)]
"""When the answer must be there, as a value of the event loop's `time()`."""


def compute_deadline(settings: Settings, asked_ms: int | None) -> float:
    """The deadline of a request that has just come, whose caller asked for `asked_ms`."""
    own = settings.request_deadline_ms
    return asyncio.get_running_loop().time() + min(own, asked_ms or own) / 1000


class DisconnectGuard:
    """Cancels the block when the caller leaves, which then ends in ClientDisconnected; servers do not do that by themselves.

    For reads only: what writes is better finished. The body must have been read. Nobody listens in the first moments,
    in which most answers are there: a listener is a task, and costs more than a timer that is called off.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(LISTEN_DELAY_S, self._start)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
        if self._left:  # however the block took its cancellation
            self._task.uncancel()
            raise ClientDisconnected from None

    def _start(self) -> None:
        self._listener = asyncio.create_task(self._listen(), name="while-connected")

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        self._task.cancel()
