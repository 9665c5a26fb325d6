"""Outermost ASGI middleware: request id, trace, body limit, stage times, metrics and the last exception handler.

One pure ASGI layer instead of several, because it runs for every request. Starlette's own body limit is not used: it
responds in plain text, and errors of this service are problem+json.
"""

import logging
import re
import sys
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError
from app.http.problems import build_problem
from app.telemetry.metrics import STAGE_SECONDS, get_request_histogram
from app.telemetry.request_context import CURRENT_REQUEST_ID, CURRENT_TRACE, Stage, generate_id

log = logging.getLogger("nextup")

INTERNAL_ERROR = "internal error; see the server log for this request_id"

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,128}")
CLIENT_CLOSED_REQUEST = "499"
"""The status that proxies log for a client that disconnected before the response; it is never sent."""


class ClientDisconnected(Exception):
    """The client closed the connection, so no response is sent."""


class RequestMiddleware:
    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, _format_startup_error(send))
            return
        started_at = time.perf_counter()
        headers = {name: value for name, value in scope["headers"] if name in _USED_HEADERS}
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _choose_request_id(headers.get(b"x-request-id"))
        id_token = CURRENT_REQUEST_ID.set(request_id)
        tracing = state.get("tracing")
        trace = None if tracing is None else tracing.start_request(scope["headers"], request_id)
        trace_token = CURRENT_TRACE.set(trace)
        stages: dict[str, Stage] = {}
        state["stages"] = stages
        code = CLIENT_CLOSED_REQUEST

        async def send_with_headers(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
                response_headers = message["headers"]  # a list that only this response uses
                response_headers.append((b"x-request-id", request_id.encode()))
                if trace is not None:
                    response_headers.append((b"traceresponse", trace.response_header))
                if stages:
                    response_headers.append((b"server-timing", _record_stages(stages)))
            await send(message)

        try:
            if rejection := self._reject(scope, headers, request_id):
                await rejection(scope, receive, send_with_headers)
            else:
                await self._app(scope, self._limit_body(receive), send_with_headers)
        except ClientDisconnected:
            pass  # counted below under CLIENT_CLOSED_REQUEST
        except Exception:
            log.exception("request %s failed", request_id)
            if code != CLIENT_CLOSED_REQUEST:  # the response has started: the connection can only be aborted
                raise
            await build_problem(500, "Internal error", INTERNAL_ERROR, request_id)(scope, receive, send_with_headers)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = _get_route(scope)
            get_request_histogram(route, method, code).observe(time.perf_counter() - started_at)
            if trace is not None:
                trace.end(method, route, code, stages, state.get("outcome"))
            CURRENT_TRACE.reset(trace_token)
            CURRENT_REQUEST_ID.reset(id_token)

    def _reject(self, scope: Scope, headers: dict[bytes, bytes], request_id: str) -> ASGIApp | None:
        """Reject on headers alone (413, 415), before the body is read; None if there is no reason to."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            return build_problem(413, "Content Too Large", self._too_large, request_id)
        if scope["method"] == "POST" and (int(length) or b"transfer-encoding" in headers):
            media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if media_type != b"application/json":
                detail = f"Content-Type must be application/json (got {media_type.decode('latin-1') or 'none'})"
                return build_problem(415, "Unsupported Media Type", detail, request_id)
        return None

    def _limit_body(self, receive: Receive) -> Receive:
        """Wrap `receive` to count bytes, because a chunked body does not announce its length."""
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body:
                raise HTTPException(413, self._too_large)
            return message

        return receive_counted

    @property
    def _too_large(self) -> str:
        return f"the request body must not exceed {self._max_body} bytes (NEXTUP_MAX_BODY_BYTES)"


_USED_HEADERS = {b"x-request-id", b"content-length", b"content-type", b"transfer-encoding"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _get_route(scope: Scope) -> str:
    """Return the template of the matched route, never the path itself, which would be a metric label per user."""
    if "route" in scope:
        return str(scope["route"].path_format)
    # Starlette's plain routes (/docs, /openapi.json) set no template; without parameters the path is the template.
    return str(scope["path"]) if "endpoint" in scope and not scope["path_params"] else "unmatched"


def _format_startup_error(send: Send) -> Send:
    """Wrap `send` so that a ServiceError during startup is reported in one line, not as Starlette's traceback."""

    async def send_shortened(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, ServiceError):
            message = {**message, "message": f"nextup failed to start: {error.detail}"}
        await send(message)

    return send_shortened


def _choose_request_id(header: bytes | None) -> str:
    """Return the client's request id if it is safe to log, else a new one."""
    if header is not None and REQUEST_ID_PATTERN.fullmatch(text := header.decode("latin-1")):
        return text
    return generate_id()


def _record_stages(stages: dict[str, Stage]) -> bytes:
    """Observe every stage and format them for Server-Timing, in milliseconds.

    The stage `respond` ends here; the service set only its start time.
    """
    if "respond" in stages:
        start_s, _ = stages["respond"]
        stages["respond"] = start_s, time.perf_counter() - start_s
    for name, (_, seconds) in stages.items():
        STAGE_SECONDS[name].observe(seconds)
    return ", ".join([f"{name};dur={seconds * 1e3:.2f}" for name, (_, seconds) in stages.items()]).encode()
