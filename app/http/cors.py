"""Which pages of other origins may call the API from a browser, by NEXTUP_CORS_ORIGINS; off by default."""

from collections.abc import Callable, Sequence
from functools import cache, partial

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Scope, Send

from app.errors import Forbidden

DEFAULT_METHODS = ("GET", "HEAD", "POST", "DELETE")
"""Of a path that does not exist, so that a page can read the error."""
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "X-Request-ID",
    "X-Request-Deadline-Ms",
    "traceparent",
    "tracestate",
)
RESPONSE_HEADERS = ("X-Request-ID", "Retry-After", "Server-Timing", "traceresponse")


class CorsPolicy:
    """Starlette's rules, applied to every response by RequestMiddleware: to those of the hot path and to errors too."""

    def __init__(self, origins: list[str], find_methods: Callable[[Scope], Sequence[str]]) -> None:
        """`find_methods` returns the methods of the path of a request, none for a path that does not exist."""
        self._find_methods = find_methods
        self._make_rules = cache(partial(_make_rules, tuple(origins)))
        self._rules = self._make_rules(DEFAULT_METHODS)

    def wrap_send(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to add the headers that allow a page of an allowed origin to read the response."""
        return partial(self._rules.send, send=send, request_headers=Headers(scope=scope))

    def answer_preflight(self, scope: Scope) -> ASGIApp | Forbidden | None:
        """Return the answer to a preflight request, an error for one that is not allowed; None for other requests."""
        headers = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or "origin" not in headers or "access-control-request-method" not in headers:
            return None
        methods = tuple(self._find_methods(scope)) or DEFAULT_METHODS
        response = self._make_rules(methods).preflight_response(headers)
        if response.status_code == 200:
            return Response(status_code=204, headers=_select_headers(response))
        reason = bytes(response.body).decode().removeprefix("Disallowed CORS ")
        return Forbidden(f"cross-origin requests with this {reason} are not allowed; see NEXTUP_CORS_ORIGINS")


def _make_rules(origins: Sequence[str], methods: Sequence[str]) -> CORSMiddleware:
    return CORSMiddleware(
        _unused_app,
        allow_origins=origins,
        allow_methods=methods,
        allow_headers=REQUEST_HEADERS,
        expose_headers=RESPONSE_HEADERS,
    )


def _select_headers(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if not name.startswith("content-")}


async def _unused_app(*_: object) -> None:
    raise AssertionError("RequestMiddleware calls the application")
