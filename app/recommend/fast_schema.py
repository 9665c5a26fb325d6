"""The body of /recommend as the hot path reads it: a stricter reading of `RecommendRequest`, never a wider one.

What this takes, the route would take too and with the same meaning; the rest (integers as ids, "5" for 5, unknown
fields, whatever is wrong) goes to the route, whose reading and whose errors count. A contract test holds the fields,
types, bounds and defaults equal to OpenAPI's. It knows no HTTP.
"""

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from app.recommend.schemas import MAX_CANDIDATES, MAX_CATEGORIES, MAX_EXCLUDE, MAX_HISTORY

StrictId = Annotated[str, Meta(min_length=1, max_length=128)]


class RecommendParams(Protocol):
    """What a recommendation needs to know; both readings of a body have it."""

    @property
    def user_id(self) -> str | None: ...
    @property
    def history(self) -> list[str] | None: ...
    @property
    def k(self) -> int: ...
    @property
    def exclude_seen(self) -> bool: ...
    @property
    def exclude(self) -> list[str]: ...
    @property
    def candidates(self) -> list[str] | None: ...
    @property
    def categories(self) -> list[str]: ...
    @property
    def min_history_version(self) -> int | None: ...


class StrictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: StrictId | None = None
    history: Annotated[list[StrictId], Meta(max_length=MAX_HISTORY)] | None = None
    k: Annotated[int, Meta(ge=1)] = 10
    exclude_seen: bool = True
    exclude: Annotated[list[StrictId], Meta(max_length=MAX_EXCLUDE)] = []
    candidates: Annotated[list[StrictId], Meta(max_length=MAX_CANDIDATES)] | None = None
    categories: Annotated[list[str], Meta(max_length=MAX_CATEGORIES)] = []
    min_history_version: Annotated[int, Meta(ge=0)] | None = None
    explain: bool = False


_decoder = msgspec.json.Decoder(StrictRequest)


def parse_strict(body: bytes) -> StrictRequest | None:
    """None for a body that the route must judge."""
    try:
        asked = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if asked.user_id is None and asked.history is None else asked
