"""Who may ask what: an ASGI layer that reads `Authorization: Bearer` before anything else of a request is read.

It is only there if API keys, or a key for the metrics, are set. Health stays open, for those who watch; so do the page
and the documentation, which show nothing of anybody.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api_keys import ApiKeys, hash_token
from app.errors import Forbidden, ServiceError, TooManyRequests, Unauthorized
from app.http.problems import on_service_error
from app.settings import Settings
from app.telemetry.metrics import REJECTED

PUBLIC_PATHS = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
)
METRICS_PATH = "/metrics"
_BEARER = "bearer "


class AuthMiddleware:
    def __init__(self, app: ASGIApp, *, keys: ApiKeys, metrics_key: str | None) -> None:
        self._app = app
        self._keys = keys
        self._metrics_hash = None if metrics_key is None else hash_token(metrics_key)

    @classmethod
    def is_needed(cls, settings: Settings) -> bool:
        return bool(settings.api_keys or settings.metrics_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except ServiceError as error:
                await (await on_service_error(Request(scope), error))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        path = scope["path"]
        if path in PUBLIC_PATHS:
            return
        if path == METRICS_PATH:
            if self._metrics_hash is not None and hash_token(_token(scope)) != self._metrics_hash:
                raise Unauthorized("the metrics need their own key (NEXTUP_METRICS_KEY)")
            return
        if not len(self._keys):
            return
        key = self._keys.find(_token(scope))
        if key is None:
            raise Unauthorized("this API key is not known")
        wanted = get_required_scope(scope["method"], path)
        if not key.allows(wanted):
            raise Forbidden(f"the API key {key.name!r} has not the scope {wanted!r}")
        if (wait_s := self._keys.take_token(key)) > 0:
            REJECTED.labels("rate").inc()
            raise TooManyRequests(f"the API key {key.name!r} may ask {key.rate:g} times a second", retry_after_s=wait_s)


def get_required_scope(method: str, path: str) -> str:
    """What a key must be allowed to do. Asking is reading, whatever the method; what is not known is reading, too."""
    if path.startswith("/models/"):
        return "admin"
    writes = path == "/events" or (path.startswith("/users/") and method not in ("GET", "HEAD"))
    return "write" if writes else "read"


def _token(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1:
        raise Unauthorized("send Authorization: Bearer with an API key")
    text: str = given[0].decode("latin-1")
    if not text.lower().startswith(_BEARER):
        raise Unauthorized("send Authorization: Bearer with an API key, no other kind")
    return text[len(_BEARER) :].strip()
