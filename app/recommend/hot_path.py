"""Hot path of POST /recommend: an ASGI middleware that answers plain requests before they reach FastAPI.

FastAPI takes some 200 µs for routing, dependencies and validation, more than the remaining work of a request. Requests
with unusual headers or bodies, or with a query string, are forwarded unchanged to the route in `endpoints.py`, so
errors, lenient conversions and documentation have one source. RequestMiddleware runs before both and gives them the
same ids, times and limits.
"""

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError
from app.http.dependencies import DEADLINE_HEADER, MAX_DEADLINE_MS, DisconnectGuard, compute_deadline
from app.http.problems import on_http_error, on_service_error
from app.recommend.fast_responses import encode_response
from app.recommend.fast_schema import StrictRequest, parse_strict

PATH = "/recommend"
_CONTENT_TYPE = (b"content-type", b"application/json")
_DEADLINE = DEADLINE_HEADER.encode()
_NO_DEADLINE = 0


class HotPath:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != scope.get("root_path", "") + PATH:
            await self._app(scope, receive, send)
            return
        deadline_ms = None if scope["query_string"] else _parse_plain_headers(scope["headers"])
        if deadline_ms is None:
            await self._app(scope, receive, send)
            return
        scope["endpoint"], scope["path_params"] = self, {}  # the middleware counts the request under its path
        body = bytearray()
        try:
            last = await receive()
            while last["type"] == "http.request" and last.get("more_body", False):
                body += last["body"]
                last = await receive()
            whole = bytes(body) + last.get("body", b"") if body else last.get("body", b"")
            params = parse_strict(whole) if last["type"] == "http.request" else None
            if params is None:
                await self._app(scope, _replay(bytes(body), last, receive), send)
            else:
                await _respond(params, deadline_ms, scope, receive, send)
        except ServiceError as error:
            await (await on_service_error(Request(scope), error))(scope, receive, send)
        except HTTPException as error:  # the body is too large
            await (await on_http_error(Request(scope), error))(scope, receive, send)


async def _respond(params: StrictRequest, deadline_ms: int, scope: Scope, receive: Receive, send: Send) -> None:
    state = scope["state"]
    service = state["recommend"]
    deadline = compute_deadline(state["settings"], deadline_ms or None, state.get("received_at"))
    async with DisconnectGuard(scope, receive):
        recommendation = await service.recommend(params, deadline, state["stages"])
    state["outcome"] = recommendation.top.source, recommendation.reason
    body = encode_response(recommendation)
    headers = [(b"content-length", b"%d" % len(body)), _CONTENT_TYPE]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _parse_plain_headers(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Return the client's deadline in milliseconds, 0 without one; None for headers that the route must handle.

    Plain headers have exactly one content type, JSON without parameters, and at most one deadline, in digits.
    """
    content_types = 0
    deadline_ms = _NO_DEADLINE
    for name, value in headers:
        if name == b"content-type":
            content_types += 1
            if value != b"application/json":
                return None
        elif name == _DEADLINE:
            if deadline_ms or not value.isdigit() or len(value) > 6:
                return None
            deadline_ms = int(value)
            if not 1 <= deadline_ms <= MAX_DEADLINE_MS:
                return None
    return deadline_ms if content_types == 1 else None


def _replay(first: bytes, last: Message, receive: Receive) -> Receive:
    """Replay the received messages, then continue with `receive`, so that the route reads the whole body."""
    pending: list[Message] = [last]
    if first:
        pending.append({"type": "http.request", "body": first, "more_body": True})

    async def receive_again() -> Message:
        return pending.pop() if pending else await receive()

    return receive_again
