"""Paths: a prefix in front of all of them, routes that match whole paths, and ids of any characters.

A route also refuses query parameters that it does not have, and reads its body in bounded time.

Starlette ends the pattern of a path with `$`, which also matches before a final line break, and `{id:path}` excludes
line breaks. So `DELETE /users/bob%0A` would erase bob, and `POST /events%0A` would have the scope of an unknown path.
It also matches unescaped paths, in which the id `a/followers` ends like a route.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote_to_bytes

from fastapi.routing import APIRoute
from starlette._utils import (
    get_route_path,  # the router's own rule: another one could check another path than it routes
)
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

from app.http.bodies import bound_body
from app.http.query_strings import check_parameters, list_parameters

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Methods of routes."""


class IdConvertor(StringConvertor):
    """`{name:id}`: any characters, also slashes, which servers unescape before routing, and line breaks."""

    regex = "(?s:.*)"


register_url_convertor("id", IdConvertor())


class WholePathRoute(APIRoute):
    """A route that matches whole paths only, has no other query parameters, and bounds the time of its body."""

    ignores_unknown_parameters: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        names = list_parameters(self.dependant)
        model = None if self.body_field is None else self.body_field.field_info.annotation

        async def handle_checked(request: Request) -> Response:
            if request.scope["query_string"] and not self.ignores_unknown_parameters:
                check_parameters(request.query_params, names)
            return await handle(request if model is None else await bound_body(request, model))

        return handle_checked

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"].endswith("\n") and not self.path_format.endswith("}"):
            return Match.NONE, {}
        if not _ends_with_segment(scope, self.path_format.rpartition("}/")[2]):
            return Match.NONE, {}
        return super().matches(scope)


class LenientRoute(WholePathRoute):
    """A route for probes, scrapers and browsers, which add parameters of their own to an address."""

    ignores_unknown_parameters = True


def _ends_with_segment(scope: Scope, name: str) -> bool:
    """Whether the last segment of a path, before it was unescaped, is `name`, which the template of a route ends with.

    The end of an id is not the name of a route: `/items/a%2Ffollowers` is an item. True where the server keeps no raw
    path, or the template ends otherwise.
    """
    raw_path: bytes | None = scope.get("raw_path")
    if not raw_path or not name or "/" in name or "}" in name:
        return True
    return unquote_to_bytes(raw_path.partition(b"?")[0].rpartition(b"/")[2]) == name.encode()


def add_root_path(scope: Scope, prefix: str) -> None:
    """Add the path prefix of a proxy to the scope, as ASGI requires, whether or not the proxy has stripped it."""
    path = scope["path"]
    if path == prefix:
        path += "/"
    elif not path.startswith(f"{prefix}/"):
        path = prefix + path
    scope["path"], scope["root_path"] = path, prefix


def get_relative_path(scope: Scope) -> str:
    """Return the path without the prefix of a proxy, as routes match it."""
    return get_route_path(scope)


def find_methods(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """Find the methods of all routes that match the path of a request; without those of mounted applications."""
    own_routes = [route for route in routes if not isinstance(route, Mount)]
    scopes = {method: {**scope, "method": method} for method in METHODS}
    methods = [
        method for method, other in scopes.items() if any(route.matches(other)[0] is Match.FULL for route in own_routes)
    ]
    if "GET" in methods:
        methods.insert(methods.index("GET") + 1, "HEAD")  # which the middleware answers like GET
    return methods
