"""Paths: a prefix in front of all of them, routes that match whole paths, and ids of any characters.

Starlette ends the pattern of a path with `$`, which also matches before a final line break, and `{id:path}` excludes
line breaks. So `DELETE /users/bob%0A` would erase bob, and `POST /events%0A` would have the scope of an unknown path.
"""

from fastapi.routing import APIRoute
from starlette._utils import (
    get_route_path,  # the router's own rule: another one could check another path than it routes
)
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Match
from starlette.types import Scope


class IdConvertor(StringConvertor):
    """`{name:id}`: any characters, also slashes, which servers unescape before routing, and line breaks."""

    regex = "(?s:.*)"


register_url_convertor("id", IdConvertor())


class WholePathRoute(APIRoute):
    """A route whose template must match the whole path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"].endswith("\n") and not self.path_format.endswith("}"):
            return Match.NONE, {}
        return super().matches(scope)


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
