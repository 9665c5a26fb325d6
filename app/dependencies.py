"""How endpoints reach what the lifespan opened, and the deadline of a request. It knows no use case."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request


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
