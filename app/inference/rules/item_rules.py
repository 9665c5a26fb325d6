"""The rules of a query, with parsed filters."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.inference.filters.expression import ItemFilter


@dataclass(frozen=True, slots=True)
class Boost:
    """Adds `add` to the scores of the items that match."""

    item_filter: ItemFilter
    add: float


@dataclass(frozen=True, slots=True)
class Promotion:
    """Puts the best items that match at `positions`, which are ascending, from 1."""

    item_filter: ItemFilter
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ItemRules:
    """Rules of one query, of which no two promotions have a position in common.

    `limits` are pairs of a field, `categories` or the name of an attribute, and the most items per value of it.
    `offset` is the number of items on the pages before. `shown` are the joined keys (8 bytes each) of items whose
    scores are lowered by `penalty`.
    """

    boosts: tuple[Boost, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    diversity: float = 0.0
    offset: int = 0
    shown: bytes = b""
    penalty: float = 0.0

    def list_promotions(self, k: int) -> Iterator[tuple[ItemFilter, list[int]]]:
        """List the promotions of a page of `k` items, with their positions on it, from 0."""
        for promotion in self.promotions:
            positions = [position - 1 - self.offset for position in promotion.positions]
            if on_page := [position for position in positions if 0 <= position < k]:
                yield promotion.item_filter, on_page
