"""Routes that match whole paths, and ids of any characters in them.

Starlette ends the pattern of a path with `$`, which also matches before a final line break, and `{id:path}` excludes
line breaks. So `DELETE /users/bob%0A` would erase bob, and `POST /events%0A` would have the scope of an unknown path.
"""

from fastapi.routing import APIRoute
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
