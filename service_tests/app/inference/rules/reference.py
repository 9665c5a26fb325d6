"""Rules applied to plain Python lists, item by item: what a search under rules must return."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from app.inference.filters import parse_filter
from app.inference.rules import Boost, ItemRules, Promotion
from models.catalogue.item_key import item_keys

FIELDS = ("brand", "price", "tags", "categories")
BRANDS, TAGS = ("A", "B", "C"), ("x", "y", "z")


@dataclass(frozen=True)
class Condition:
    """A filter with one comparison, and the same in Python."""

    text: bytes
    matches: Callable[["Item"], bool]


@dataclass(frozen=True)
class Item:
    """Index, score and values of an item; None for a value that it does not have."""

    index: int
    score: float
    brand: str | None
    price: int | None
    tags: tuple[str, ...]
    categories: tuple[str, ...]
    direction: int
    """Position of the only 1 in the vector of the item."""

    def list_values(self, field: str) -> list[Any]:
        value = getattr(self, field)
        return list(set(value)) if isinstance(value, tuple) else [] if value is None else [value]


@dataclass(frozen=True)
class Case:
    """Rules with their filters as conditions; `boosts` are (condition, add), `promotions` (condition, positions)."""

    k: int
    boosts: Sequence[tuple[Condition, float]]
    promotions: Sequence[tuple[Condition, tuple[int, ...]]]
    limits: dict[str, int]
    diversity: float
    offset: int
    shown: frozenset[int] = frozenset()
    penalty: float = 0.0

    def to_rules(self) -> ItemRules:
        return ItemRules(
            tuple(Boost(parse_filter(condition.text), add) for condition, add in self.boosts),
            tuple(Promotion(parse_filter(condition.text), positions) for condition, positions in self.promotions),
            tuple(self.limits.items()),
            self.diversity,
            self.offset,
            item_keys([f"i{index}" for index in sorted(self.shown)]).tobytes(),
            self.penalty,
        )


def rank_by_reference(items: Sequence[Item], case: Case) -> list[tuple[int, float]]:
    """Return index and score of each item of the answer; `items` are eligible."""
    return _Reference(items, case).rank()


class _Reference:
    def __init__(self, items: Sequence[Item], case: Case) -> None:
        self.case = case
        self.counts: Counter[tuple[str, Any]] = Counter()
        self.picked: list[Item] = []
        self.ordered = sorted(items, key=lambda item: (-self.compute_score(item), item.index))

    def rank(self) -> list[tuple[int, float]]:
        promoted: dict[int, Item] = {}
        for condition, positions in self.case.promotions:
            for position in positions:
                place = position - 1 - self.case.offset
                candidates = [item for item in self.ordered if condition.matches(item) and self.is_allowed(item)]
                if 0 <= place < self.case.k and candidates:
                    promoted[place] = self.pick(candidates[0])
        ordinary = self.choose(self.case.k - len(promoted))
        answer: list[Item] = []
        while ordinary or promoted:
            if len(answer) in promoted:
                answer.append(promoted.pop(len(answer)))
            else:
                answer.append(ordinary.pop(0) if ordinary else promoted.pop(min(promoted)))
        return [(item.index, self.compute_score(item)) for item in answer]

    def choose(self, count: int) -> list[Item]:
        """Choose one item after the other, from all items or, for diversity, from the best ones."""
        choices: list[Item] = []
        depth = 10 * count
        while len(choices) < count and (pool := [item for item in self.ordered if self.is_allowed(item)]):
            pool = pool[:depth] if self.case.diversity else pool
            scores = list(map(self.compute_score, pool))
            while len(choices) < count and (allowed := [item for item in pool if self.is_allowed(item)]):
                relevance = {item: self.compute_relevance(item, pool, scores) for item in allowed}
                best = max(allowed, key=relevance.__getitem__) if self.case.diversity else allowed[0]
                choices.append(self.pick(best))
            depth *= 4
        return choices

    def compute_score(self, item: Item) -> float:
        bonus = sum(add for condition, add in self.case.boosts if condition.matches(item))
        return item.score + bonus - self.case.penalty * (item.index in self.case.shown)

    def is_allowed(self, item: Item) -> bool:
        return item not in self.picked and all(
            self.counts[value] < self.case.limits[value[0]] for value in self.list_values(item)
        )

    def list_values(self, item: Item) -> list[tuple[str, Any]]:
        return [(field, value) for field in self.case.limits for value in item.list_values(field)]

    def pick(self, item: Item) -> Item:
        self.picked.append(item)
        self.counts.update(self.list_values(item))
        return item

    def compute_relevance(self, item: Item, pool: Sequence[Item], scores: Sequence[float]) -> float:
        span, diversity = scores[0] - scores[-1], self.case.diversity
        relevance = (scores[pool.index(item)] - scores[-1]) / span if span else 1.0
        nearest = max((float(item.direction == other.direction) for other in self.picked), default=-1.0)
        return (1 - diversity) * relevance - diversity * nearest
