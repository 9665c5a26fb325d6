"""Outermost ASGI middleware: request id, trace, checks, body limit, stage times, metrics, last exception handler.

It also answers HEAD like GET, adds the path prefix of NEXTUP_ROOT_PATH and security headers, and applies
NEXTUP_CORS_ORIGINS.

One pure ASGI layer instead of several, because it runs for every request. Starlette's own body limit is not used: it
responds in plain text, and errors of this service are problem+json.
"""

import logging
import re
import sys
import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ContentTooLarge, ServiceError
from app.http.cors import CorsPolicy
from app.http.problems import build_error_response, build_problem
from app.http.request_checks import CHECKED_HEADERS, RequestChecks
from app.http.routing import add_root_path, get_relative_path
from app.http.security_headers import add_security_headers
from app.runtime.random_ids import generate_id
from app.telemetry.metrics import STAGE_SECONDS, get_request_histogram
from app.telemetry.rejections import LOCAL_SOCKET
from app.telemetry.request_context import CURRENT_REQUEST_ID, CURRENT_TRACE, RequestTrace, Stage

log = logging.getLogger("nextup")

INTERNAL_ERROR = "internal error; see the server log for this request_id"

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,128}")
CLIENT_CLOSED_REQUEST = "499"
"""The status that proxies log for a client that disconnected before the response; it is never sent."""


class ClientDisconnected(Exception):
    """The client closed the connection, so no response is sent."""


class RequestMiddleware:
    def __init__(
        self,
        app: ASGIApp,
        *,
        checks: RequestChecks,
        max_body_bytes: int,
        cors: CorsPolicy | None = None,
        root_path: str = "",
    ) -> None:
        self._app = app
        self._checks = checks
        self._max_body = max_body_bytes
        self._cors = cors
        self._root_path = root_path
        self._adapts = bool(root_path) or cors is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, _format_startup_error(send))
            return
        started_at = time.perf_counter()
        method = scope["method"]
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
        if self._adapts or method == "HEAD":
            scope, send = self._adapt(scope, send)

        async def send_with_headers(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
                response_headers = message["headers"]  # a list that only this response uses
                add_security_headers(response_headers)
                response_headers.append((b"x-request-id", request_id.encode()))
                if trace is not None:
                    response_headers.append((b"traceresponse", trace.response_header))
                if stages:
                    response_headers.append((b"server-timing", _record_stages(stages)))
            await send(message)

        try:
            fault = self._checks.find_fault(scope, headers)
            app = self._app if fault is None and self._cors is None else self._choose_app(fault, scope, request_id)
            if b"content-length" not in headers or b"transfer-encoding" in headers:
                receive = self._limit_body(receive)
            await app(scope, receive, send_with_headers)
        except (ClientDisconnected, ClientDisconnect):
            pass  # counted below under CLIENT_CLOSED_REQUEST
        except Exception:
            log.exception("request %s failed", request_id)
            if code != CLIENT_CLOSED_REQUEST:  # the response has started: the connection can only be aborted
                raise
            await build_problem(500, "Internal error", INTERNAL_ERROR, request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started_at
            _record_request(scope, method, code, seconds, trace)
            CURRENT_TRACE.reset(trace_token)
            CURRENT_REQUEST_ID.reset(id_token)

    def _adapt(self, scope: Scope, send: Send) -> tuple[Scope, Send]:
        """Add the path prefix and the headers for other origins, and let HEAD be answered like GET."""
        if self._root_path and not scope.get("root_path"):
            add_root_path(scope, self._root_path)
        if self._cors is not None:
            send = self._cors.wrap_send(scope, send)
        if scope["method"] == "HEAD":
            return {**scope, "method": "GET"}, _drop_body(send)
        return scope, send

    def _choose_app(self, fault: ServiceError | None, scope: Scope, request_id: str) -> ASGIApp:
        """Return what answers the request: an error, the rules for other origins, or the application."""
        answer: ASGIApp | ServiceError | None = fault
        if answer is None and self._cors is not None:
            answer = self._cors.answer_preflight(scope)
        if answer is None:
            return self._app
        return build_error_response(answer, request_id) if isinstance(answer, ServiceError) else answer

    def _limit_body(self, receive: Receive) -> Receive:
        """Wrap `receive` to count the bytes of a chunked body; an announced length has been checked already."""
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body:
                raise HTTPException(413, ContentTooLarge.for_limit(self._max_body).detail)
            return message

        return receive_counted


_USED_HEADERS = {b"x-request-id", *CHECKED_HEADERS}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _record_request(scope: Scope, method: str, code: str, seconds: float, trace: RequestTrace | None) -> None:
    label = method if method in _METHODS else "other"
    route = _get_route(scope)
    get_request_histogram(route, label, code).observe(seconds)
    state = scope["state"]
    if code == "413":
        limit = state["settings"].max_body_bytes
        client = scope.get("client")
        address = client[0] if client else LOCAL_SOCKET
        state["connections"].rejections.report("body_size", ContentTooLarge.for_limit(limit).detail, address)
    if trace is not None:
        trace.end(label, route, code, state["stages"], state.get("outcome"))


def _drop_body(send: Send) -> Send:
    """Wrap `send` for a response to HEAD, which has no body; its Content-Length is that of GET."""

    async def send_head(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return send_head


def _get_route(scope: Scope) -> str:
    """Return the template of the matched route, never the path itself, which would be a metric label per user."""
    if "route" in scope:
        return str(scope["route"].path_format)
    # The hot path sets no route; its path is the template.
    return get_relative_path(scope) if "endpoint" in scope and not scope["path_params"] else "unmatched"


def _format_startup_error(send: Send) -> Send:
    """Wrap `send` so that an error during startup that has a cause outside is one line, not Starlette's traceback."""

    async def send_shortened(message: Message) -> None:
        reason = _describe_startup_error(sys.exception())
        if message["type"] == "lifespan.startup.failed" and reason is not None:
            message = {**message, "message": f"nextup failed to start: {reason}"}
        await send(message)

    return send_shortened


def _describe_startup_error(error: BaseException | None) -> str | None:
    """State cause and action; None for an error that only a fault of the program explains."""
    if isinstance(error, ServiceError):
        return error.detail
    if isinstance(error, OSError):
        file = "" if error.filename is None else f"{error.filename}: "
        return f"{file}{error.strerror or error}; check the file and its permissions, or run `nextup doctor`"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
        return "not enough memory; run fewer workers or a smaller model, see `nextup plan`"
    return None


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
