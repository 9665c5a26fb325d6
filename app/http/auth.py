"""ASGI middleware that checks `Authorization: Bearer` before anything else of a request is read.

It is installed only if API keys or a metrics key are set. Health checks stay open for monitoring; so do the home page
and the API documentation, which show no data of users.

The scope depends on the path prefix rather than on a dependency of each router: a dependency would run after the body
is parsed, and the hot path bypasses routing altogether. test_auth.py lists every route with its scope and fails for a
route that is missing there.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api_keys import ApiKey, ApiKeys, hash_token
from app.errors import Forbidden, ServiceError, TooManyRequests, Unauthorized
from app.http.problems import on_service_error
from app.http.rate_limits import LIMIT, RateLimits
from app.http.routing import get_relative_path
from app.settings import Settings
from app.telemetry.metrics import REJECTED

PUBLIC_PATHS = frozenset({"/", "/livez", "/readyz", "/healthz", "/docs", "/redoc", "/openapi.json"})
PUBLIC_FOLDERS = ("/docs/", "/page/", "/redoc/")
"""Scripts and styles of the home page and of the documentation pages."""
WRITTEN_FOLDERS = ("/users/", "/items/", "/placements/")
"""Paths whose changes need the scope write."""
METRICS_PATH = "/metrics"
ADMIN = "nextup.admin"
"""Entry of the ASGI scope: whether the key of a request has the scope admin."""
_BEARER = "bearer "


class AuthMiddleware:
    def __init__(self, app: ASGIApp, *, keys: ApiKeys, metrics_key: str | None) -> None:
        self._app = app
        self._keys = keys
        self._requires_keys = len(keys) > 0
        self._metrics_hash = hash_token(metrics_key) if metrics_key else None

    @classmethod
    def is_needed(cls, settings: Settings) -> bool:
        return bool(settings.has_api_keys or settings.metrics_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                key = self._check(scope)
                if key is not None and key.rate:
                    await _limit_rate(scope, key)
            except ServiceError as error:
                await (await on_service_error(Request(scope), error))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> ApiKey | None:
        """Return the key of the request; None if its path needs none."""
        path = get_relative_path(scope)
        if path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS):
            return None
        if path == METRICS_PATH:
            if self._metrics_hash is not None and hash_token(_get_token(scope)) != self._metrics_hash:
                raise Unauthorized("/metrics requires its own key; send the value of NEXTUP_METRICS_KEY")
            return None
        if not self._requires_keys:
            return None
        key = self._keys.find(_get_token(scope))
        if key is None:
            raise Unauthorized("unknown API key")
        required = get_required_scope(scope["method"], path)
        if not key.allows(required):
            raise Forbidden(f"API key {key.name!r} lacks scope {required!r}")
        scope[ADMIN] = key.allows("admin")
        return key


async def _limit_rate(scope: Scope, key: ApiKey) -> None:
    limits: RateLimits = scope["state"]["rate_limits"]
    scope[LIMIT] = limit = limits.get_limit(key)
    if (wait_s := await limit.take_token()) > 0:
        REJECTED.labels("rate").inc()
        detail = f"API key {key.name!r} exceeds its rate limit of {key.rate:g} requests per second"
        raise TooManyRequests(detail, retry_after_s=wait_s)


def is_admin(request: Request) -> bool:
    """Whether the caller may administrate: by its key, or because the service has no keys."""
    return bool(request.scope.get(ADMIN, True))


def get_required_scope(method: str, path: str) -> str:
    """Map a request to its scope: POST queries need `read`, and unknown paths default to `read`."""
    if path.startswith("/models/"):
        return "admin"
    changes = method not in ("GET", "HEAD")
    if changes and path.startswith("/experiments/"):
        return "admin"
    writes = path == "/events" or (changes and (path == "/items" or path.startswith(WRITTEN_FOLDERS)))
    return "write" if writes else "read"


def _get_token(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        raise Unauthorized("no API key; send Authorization: Bearer <key>")
    text: str = values[0].decode("latin-1")
    if not text.lower().startswith(_BEARER):
        raise Unauthorized("unsupported authorization scheme; send Authorization: Bearer <key>")
    return text[len(_BEARER) :].strip()
