"""What endpoints share: what the lifespan opened, the deadline of a request, and the end of it when its caller leaves.

It knows no use case.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Header, Request

from app.middleware import ClientLeft


def state(name: str) -> Callable[[Request], Awaitable[Any]]:
    """A dependency that hands out one entry of the state; async, because FastAPI runs plain functions in threads."""

    async def entry(request: Request) -> Any:
        return getattr(request.state, name)

    return entry


async def _deadline(
    request: Request,
    x_request_deadline_ms: Annotated[
        int | None, Header(ge=1, le=600_000, description="answer within this, or 504; at most the service's own limit")
    ] = None,
) -> float:
    own: int = request.state.settings.request_deadline_ms
    return asyncio.get_running_loop().time() + min(own, x_request_deadline_ms or own) / 1000


Deadline = Annotated[float, Depends(_deadline)]
"""When the answer must be there, as a value of the event loop's `time()`."""


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancels the block when the caller leaves, which then ends in ClientLeft; servers do not do that by themselves.

    For reads only: what writes is better finished. The body must have been read.
    """
    task = asyncio.current_task()
    assert task is not None
    left = False

    async def listen() -> None:
        nonlocal left
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left = True
        task.cancel()

    listener = asyncio.create_task(listen(), name="while-connected")
    try:
        yield
        if left:
            await asyncio.sleep(0)  # the cancellation is on its way and must not reach who comes after the block
    except asyncio.CancelledError:
        if not left:
            raise
        task.uncancel()
        raise ClientLeft from None
    finally:
        listener.cancel()
