"""Strict msgspec schema of the /recommend body, for the hot path: it accepts a subset of `RecommendRequest`.

A body that this schema accepts has the same meaning for the route. Every other body (integers as ids, "5" for 5,
unknown fields, invalid values) is forwarded to the route, whose conversions and errors apply. A contract test checks
that fields, types, bounds and defaults equal those of OpenAPI.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from app.recommend.schemas import (
    MAX_CANDIDATES,
    MAX_CURSOR,
    MAX_EXCLUDE,
    MAX_HISTORY,
    MAX_VERSION,
)
from app.rules.fields import (
    MAX_ADD,
    MAX_BOOSTS,
    MAX_FIELD,
    MAX_LIMITS,
    MAX_MINUTES,
    MAX_PER_VALUE,
    MAX_POSITION,
    MAX_PROMOTIONS,
    MAX_SLOTS,
)
from app.rules.reader import RuleParams
from app.rules.settings import MAX_CATEGORIES, MAX_INCLUDE, MAX_PLACEMENT, ItemField

StrictId = Annotated[str, Meta(min_length=1, max_length=128)]


class RecommendParams(RuleParams, Protocol):
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
    def cold_items(self) -> str: ...
    @property
    def placement(self) -> str | None: ...
    @property
    def min_history_version(self) -> int | None: ...
    @property
    def explain(self) -> bool: ...
    @property
    def include(self) -> Sequence[ItemField]: ...
    @property
    def paginate(self) -> bool: ...
    @property
    def cursor(self) -> str | None: ...


class StrictBoost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    filter: dict[str, Any]
    add: Annotated[float, Meta(ge=-MAX_ADD, le=MAX_ADD)]


class StrictPromotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    filter: dict[str, Any]
    slots: Annotated[int, Meta(ge=1, le=MAX_SLOTS)] = 1
    positions: Annotated[list[Annotated[int, Meta(ge=1, le=MAX_POSITION)]], Meta(max_length=MAX_SLOTS)] = []

    def __post_init__(self) -> None:
        if self.positions and not len(set(self.positions)) == len(self.positions) == self.slots:
            raise ValueError("the route gives the reason, or derives the number of slots")


class StrictRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    minutes: Annotated[int, Meta(ge=1, le=MAX_MINUTES)]
    penalty: Annotated[float, Meta(ge=0, le=MAX_ADD)] = 1.0


class StrictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    user_id: StrictId | None = None
    history: Annotated[list[StrictId], Meta(max_length=MAX_HISTORY)] | None = None
    k: Annotated[int, Meta(ge=1)] = 10
    exclude_seen: bool = True
    exclude: Annotated[list[StrictId], Meta(max_length=MAX_EXCLUDE)] = []
    candidates: Annotated[list[StrictId], Meta(max_length=MAX_CANDIDATES)] | None = None
    categories: Annotated[list[str], Meta(max_length=MAX_CATEGORIES)] = []
    filter: dict[str, Any] | None = None
    boost: Annotated[list[StrictBoost], Meta(max_length=MAX_BOOSTS)] = []
    promote: Annotated[list[StrictPromotion], Meta(max_length=MAX_PROMOTIONS)] = []
    limit_per: Annotated[
        dict[
            Annotated[str, Meta(min_length=1, max_length=MAX_FIELD)],
            Annotated[int, Meta(ge=1, le=MAX_PER_VALUE)],
        ],
        Meta(max_length=MAX_LIMITS),
    ] = {}
    diversity: Annotated[float, Meta(ge=0, le=1)] = 0.0
    rotate: StrictRotation | None = None
    cold_items: Literal["include", "exclude"] = "include"
    placement: Annotated[str, Meta(max_length=MAX_PLACEMENT)] | None = None
    version: Annotated[str, Meta(max_length=MAX_VERSION)] | None = None
    min_history_version: Annotated[int, Meta(ge=0)] | None = None
    explain: bool = False
    include: Annotated[list[Literal["title", "categories"]], Meta(max_length=MAX_INCLUDE)] = []
    paginate: bool = False
    cursor: Annotated[str, Meta(max_length=MAX_CURSOR)] | None = None


_decoder = msgspec.json.Decoder(StrictRequest)


def parse_strict(body: bytes) -> StrictRequest | None:
    """Parse the body; None for a body that the route must handle."""
    try:
        params = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_whole = params.cursor is None and params.placement is None and params.version is None
    is_plain = is_whole and (params.user_id is not None or params.history is not None)
    return params if is_plain else None
