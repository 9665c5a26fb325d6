"""What every request passes: an id, a trace, a bound on its body, stage times, metrics, and the last catch of errors.

One pure ASGI layer and not several, because it runs for every request. It knows no use case. (Starlette's own body
limit answers in plain text, whatever the application would say; errors here are problem+json.)
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
from app.telemetry.random_id import random_id
from app.telemetry.request_context import CURRENT_REQUEST_ID, CURRENT_TRACE, Stage

log = logging.getLogger("nextup")

REQUEST_ID_PATTERN = re.compile(r"[A-Za-z0-9._:-]{1,128}")
CLIENT_CLOSED_REQUEST = "499"
"""Not an HTTP status: what proxies write for a caller that left before the answer."""


class ClientDisconnected(Exception):
    """The caller closed the connection: nobody waits for an answer, so none is given."""


class RequestMiddleware:
    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, _one_line(send))
            return
        began = time.perf_counter()
        given = {name: value for name, value in scope["headers"] if name in _READ}
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(given.get(b"x-request-id"))
        id_before = CURRENT_REQUEST_ID.set(request_id)
        tracing = state.get("tracing")
        trace = None if tracing is None else tracing.start_request(scope["headers"], request_id)
        trace_before = CURRENT_TRACE.set(trace)
        stages: dict[str, Stage] = {}
        state["stages"] = stages
        code = CLIENT_CLOSED_REQUEST

        async def answer(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
                headers = message["headers"]  # a list that is this answer's alone
                headers.append((b"x-request-id", request_id.encode()))
                if trace is not None:
                    headers.append((b"traceresponse", trace.response_header))
                if stages:
                    headers.append((b"server-timing", _finished(stages)))
            await send(message)

        try:
            if refused := self._refused(scope, given, request_id):
                await refused(scope, receive, answer)
            else:
                await self._app(scope, self._bounded(receive), answer)
        except ClientDisconnected:
            pass  # counted below under CLIENT_CLOSED_REQUEST
        except Exception:
            log.exception("request %s failed", request_id)
            if code != CLIENT_CLOSED_REQUEST:  # the answer has begun; all that is left is to break the connection
                raise
            detail = "something went wrong here; the log has more under this request_id"
            await build_problem(500, "Internal error", detail, request_id)(scope, receive, answer)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = _route(scope)
            get_request_histogram(route, method, code).observe(time.perf_counter() - began)
            if trace is not None:
                trace.end(method, route, code, stages, state.get("answered"))
            CURRENT_TRACE.reset(trace_before)
            CURRENT_REQUEST_ID.reset(id_before)

    def _refused(self, scope: Scope, headers: dict[bytes, bytes], request_id: str) -> ASGIApp | None:
        """The answer to what need not be read at all."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            return build_problem(413, "Content Too Large", self._too_large, request_id)
        if scope["method"] == "POST" and (int(length) or b"transfer-encoding" in headers):
            kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
            if kind != b"application/json":
                told = kind.decode("latin-1") or "nothing"
                return build_problem(
                    415, "Unsupported Media Type", f"send Content-Type: application/json, not {told}", request_id
                )
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """Counts what arrives, because a chunked body does not say how long it will be."""
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._max_body:
                raise HTTPException(413, self._too_large)
            return message

        return bounded

    @property
    def _too_large(self) -> str:
        return f"a body may have {self._max_body} bytes (NEXTUP_MAX_BODY_BYTES)"


_READ = {b"x-request-id", b"content-length", b"content-type", b"transfer-encoding"}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _route(scope: Scope) -> str:
    """The template that matched, never the path that was asked for: that would be a label per user."""
    if "route" in scope:
        return str(scope["route"].path_format)
    # Plain routes of the framework (/docs, /openapi.json) leave no template, but without parameters the path is one.
    return str(scope["path"]) if "endpoint" in scope and not scope["path_params"] else "unmatched"


def _one_line(send: Send) -> Send:
    """A start that fails for a reason of ours says so in one line; Starlette would tell it as a traceback."""

    async def told(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, ServiceError):
            message = {**message, "message": f"nextup does not start: {error.detail}"}
        await send(message)

    return told


def _request_id(given: bytes | None) -> str:
    """The caller's own id if it is harmless in a log, else a new one."""
    if given is not None and REQUEST_ID_PATTERN.fullmatch(text := given.decode("latin-1")):
        return text
    return random_id()


def _finished(stages: dict[str, Stage]) -> bytes:
    """The stages as Server-Timing tells them, in milliseconds. `respond` ends here: the service noted when it began."""
    if "respond" in stages:
        answered_at, _ = stages["respond"]
        stages["respond"] = answered_at, time.perf_counter() - answered_at
    for name, (_, seconds) in stages.items():
        STAGE_SECONDS[name].observe(seconds)
    return ", ".join([f"{name};dur={seconds * 1e3:.2f}" for name, (_, seconds) in stages.items()]).encode()
