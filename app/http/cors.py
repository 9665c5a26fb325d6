"""Which pages of other origins may call the API from a browser, by NEXTUP_CORS_ORIGINS; off by default."""

from functools import partial

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Scope, Send

from app.errors import Forbidden

METHODS = ("GET", "HEAD", "POST", "DELETE")
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

    def __init__(self, origins: list[str]) -> None:
        self._rules = CORSMiddleware(
            _unused_app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
        )

    def wrap_send(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to add the headers that allow a page of an allowed origin to read the response."""
        return partial(self._rules.send, send=send, request_headers=Headers(scope=scope))

    def answer_preflight(self, scope: Scope) -> ASGIApp | Forbidden | None:
        """Return the answer to a preflight request, an error for one that is not allowed; None for other requests."""
        headers = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or "origin" not in headers or "access-control-request-method" not in headers:
            return None
        response = self._rules.preflight_response(headers)
        if response.status_code == 200:
            return Response(status_code=204, headers=_select_headers(response))
        reason = bytes(response.body).decode().removeprefix("Disallowed CORS ")
        return Forbidden(f"cross-origin requests with this {reason} are not allowed; see NEXTUP_CORS_ORIGINS")


def _select_headers(response: Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if not name.startswith("content-")}


async def _unused_app(*_: object) -> None:
    raise AssertionError("RequestMiddleware calls the application")
