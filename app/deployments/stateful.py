"""An application that remembers what its lifespan opened, for servers that do not hand it to the requests.

uvicorn copies the lifespan's state into the scope of every request; Ray's proxies do not. It knows ASGI and the one
thing that it remembers, and neither Ray nor a use case.
"""

from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


class Stateful:
    """`state` is what the lifespan yielded, from its start on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.state: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"] = self.state
        else:
            scope["state"] = self.state.copy()  # a request puts its own beside
        await self._app(scope, receive, send)
