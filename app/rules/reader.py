"""Reads the rules of a request: parses their filters, and gives every promotion its positions."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.errors import InvalidRequest
from app.inference.filters import ItemFilter
from app.inference.rules import Boost, ItemRules, Promotion
from app.rules.request_filter import FilterReader


class BoostParams(Protocol):
    """A boost of a request."""

    @property
    def filter(self) -> dict[str, Any]: ...
    @property
    def add(self) -> float: ...


class PromoteParams(Protocol):
    """A promotion of a request; `positions` are as many as `slots`, or none."""

    @property
    def filter(self) -> dict[str, Any]: ...
    @property
    def slots(self) -> int: ...
    @property
    def positions(self) -> Sequence[int]: ...


class RotateParams(Protocol):
    """The rotation of a request."""

    @property
    def minutes(self) -> int: ...
    @property
    def penalty(self) -> float: ...


class RuleParams(Protocol):
    """The rules of a request."""

    @property
    def filter(self) -> dict[str, Any] | None: ...
    @property
    def boost(self) -> Sequence[BoostParams]: ...
    @property
    def promote(self) -> Sequence[PromoteParams]: ...
    @property
    def limit_per(self) -> Mapping[str, int]: ...
    @property
    def diversity(self) -> float: ...
    @property
    def rotate(self) -> RotateParams | None: ...


class RuleReader:
    """Reads rules; errors name the path of the part that is wrong, such as boost.0.filter.all.1.lt."""

    def __init__(self, filters: FilterReader, *, max_minutes: int) -> None:
        """`max_minutes` is how long impressions are remembered."""
        self._filters = filters
        self._max_minutes = max_minutes

    def read(self, request: RuleParams, offset: int = 0) -> tuple[ItemFilter | None, ItemRules | None]:
        """Return the filter and the rules of a request, None for none; `offset` items were on earlier pages.

        The items that `rotate` is about are not among them: they are read from the store (`app/recommend/rotation.py`).
        """
        if request.rotate is not None and request.rotate.minutes > self._max_minutes:
            limit = f"must be at most {self._max_minutes} (NEXTUP_IMPRESSION_MINUTES), got {request.rotate.minutes}"
            raise InvalidRequest.for_field("rotate.minutes", limit)
        item_filter = self._filters.read(request.filter)
        if not (request.boost or request.promote or request.limit_per or request.diversity):
            return item_filter, None
        boosts = [
            Boost(self._filters.parse(boost.filter, f"boost.{index}.filter"), float(boost.add))
            for index, boost in enumerate(request.boost)
        ]
        positions = _find_positions(request.promote) if request.promote else []
        promotions = [
            Promotion(self._filters.parse(promotion.filter, f"promote.{index}.filter"), positions[index])
            for index, promotion in enumerate(request.promote)
        ]
        rules = ItemRules(
            boosts=tuple(boost for boost in boosts if boost.add),
            promotions=tuple(promotions),
            limits=tuple(request.limit_per.items()),
            diversity=float(request.diversity),
            offset=offset,
        )
        return item_filter, rules


def _find_positions(promotions: Sequence[PromoteParams]) -> list[tuple[int, ...]]:
    """Find the positions of each promotion; those without positions get the first free ones, in order."""
    used: set[int] = set()
    for index, promotion in enumerate(promotions):
        if taken_twice := used.intersection(promotion.positions):
            raise InvalidRequest.for_field(
                f"promote.{index}.positions", f"{min(taken_twice)} is a position of an earlier promotion; use another"
            )
        used.update(promotion.positions)
    positions = []
    for promotion in promotions:
        own = sorted(promotion.positions)
        position = 1
        while len(own) < promotion.slots:
            if position not in used:
                own.append(position)
                used.add(position)
            position += 1
        positions.append(tuple(own))
    return positions
