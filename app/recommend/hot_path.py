"""POST /recommend without the framework: an ASGI function in front of the application that answers what is plain.

FastAPI takes some 200 µs for routing, dependencies and validation, more than all else that a request costs here. What
is unusual in a head or a body is handed on to the route in `endpoints.py`, as if this were not here: so errors, odd
readings and documentation have one source. It stands behind the middleware, which tells, times and bounds requests
the same for both.
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
_NOT_GIVEN = 0


class HotPath:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST" or scope.get("root_path"):
            await self._app(scope, receive, send)
            return
        deadline_ms = _deadline_of_plain(scope["headers"])
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
            asked = parse_strict(whole) if last["type"] == "http.request" else None
            if asked is None:
                await self._app(scope, _again(bytes(body), last, receive), send)
            else:
                await _answer(asked, deadline_ms, scope, receive, send)
        except ServiceError as error:
            await (await on_service_error(Request(scope), error))(scope, receive, send)
        except HTTPException as error:  # the body is too large
            await (await on_http_error(Request(scope), error))(scope, receive, send)


async def _answer(asked: StrictRequest, deadline_ms: int, scope: Scope, receive: Receive, send: Send) -> None:
    state = scope["state"]
    service = state["recommend"]
    deadline = compute_deadline(state["settings"], deadline_ms or None)
    async with DisconnectGuard(receive):
        found = await service.recommend(asked, deadline, state["stages"])
    state["answered"] = found.top.source, found.reason
    body = encode_response(found, explain=asked.explain)
    headers = [(b"content-length", b"%d" % len(body)), _CONTENT_TYPE]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _deadline_of_plain(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The caller's deadline in milliseconds, 0 for none given; None for a head that the route must judge.

    Plain is a head with one content type, that of JSON without parameters, and at most one deadline, in digits.
    """
    kinds = 0
    deadline_ms = _NOT_GIVEN
    for name, value in headers:
        if name == b"content-type":
            kinds += 1
            if value != b"application/json":
                return None
        elif name == _DEADLINE:
            if deadline_ms or not value.isdigit() or len(value) > 6:
                return None
            deadline_ms = int(value)
            if not 1 <= deadline_ms <= MAX_DEADLINE_MS:
                return None
    return deadline_ms if kinds == 1 else None


def _again(before: bytes, last: Message, receive: Receive) -> Receive:
    """What has been received, then what comes: the route reads as if it were the first to do so."""
    left: list[Message] = [last]
    if before:
        left.append({"type": "http.request", "body": before, "more_body": True})

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again
