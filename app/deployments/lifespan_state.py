"""ASGI middleware that hands the lifespan's state to requests, for servers that do not.

uvicorn copies the state into the scope of every request; Ray Serve's proxies do not.
"""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


class LifespanStateMiddleware:
    """`state` holds what the lifespan yielded, once it has started."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"] = self.state
        else:
            scope["state"] = self.state.copy()  # requests add their own entries
        await self._app(scope, receive, send)
