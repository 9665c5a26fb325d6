"""Strict msgspec schema of the /recommend body, for the hot path: it accepts a subset of `RecommendRequest`.

A body that this schema accepts has the same meaning for the route. Every other body (integers as ids, "5" for 5,
unknown fields, invalid values) is forwarded to the route, whose conversions and errors apply. A contract test checks
that fields, types, bounds and defaults equal those of OpenAPI.
"""

from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from app.recommend.schemas import MAX_CANDIDATES, MAX_CATEGORIES, MAX_EXCLUDE, MAX_HISTORY

StrictId = Annotated[str, Meta(min_length=1, max_length=128)]


class RecommendParams(Protocol):
    """Parameters of a recommendation, as both schemas of the body provide them."""

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
    """Parse the body; None for a body that the route must handle."""
    try:
        params = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return None if params.user_id is None and params.history is None else params
