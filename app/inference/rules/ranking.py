"""Ranks items under rules, by searches that any source of items can run.

Every step is exact. Boosts: one search finds the best items without boosts; no other item can pass those whose score
exceeds that of the last one by more than the largest bonus. If these are too few, items are in classes of equal bonus,
each class is searched, and the results are merged. Shown items have a negative bonus, and are a class of their own in
each class. Limits: items are taken by descending score while their values are not used up; the next search goes deeper,
and excludes the items whose values are. Promotions are the best items that match, taken first. The depth grows by
GROWTH per missing item: at most 1 + log4(items) searches. `batch_answers.py` takes the same steps in native code.
"""

import math
from collections.abc import Callable, Generator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.inference.filters.masks import FilterMasks
from app.inference.live.mask_cache import Mask
from app.inference.rules.diversity import Floats, MarginalRelevance
from app.inference.rules.item_rules import ItemRules
from app.inference.rules.limits import ValueLimits
from app.inference.rules.shown import ShownItems

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]
AddBonus = Callable[[Scores, float], Scores]
GROWTH = 4
"""By how much the next search is deeper."""
BOOSTED_DEPTH = 4
"""Items per item of the answer that the first search returns if there are boosts."""
DEEP = 10
"""The same if values are limited, and for an answer that is diverse."""


class Search(NamedTuple):
    """Asks for the k best items that the mask allows, None for all, and that are not excluded."""

    k: int
    excluded: Indices
    mask: Mask | None
    tier: int


class Ranked(NamedTuple):
    """Items by descending score, ties in catalogue order."""

    indices: Indices
    scores: Scores


Steps = Generator[list[Search], Sequence[Ranked], Ranked]
"""Searches to run, to which their results are sent."""
Pool = Generator[list[Search], Sequence[Ranked], tuple[Ranked, bool]]
"""The same for the first items of the whole ranking, and whether these are all eligible items."""


class Pick(NamedTuple):
    """An item of the answer, with the tier that it is from."""

    item: int
    score: float
    tier: int


def add_logits(scores: Scores, bonus: float) -> Scores:
    """Add a bonus to scores that are logits."""
    return scores + bonus


def multiply_odds(scores: Scores, bonus: float) -> Scores:
    """Apply a bonus to scores that are proportional to odds, such as counts."""
    scaled: Scores = scores * math.exp(bonus)
    return scaled


class RuledRanking:
    """Ranks the items of one query.

    A query has one or more tiers of items: those of a later one follow all items of the tiers before. `tiers` has the
    function of each that adds a bonus to its scores. Without `get_vectors`, diversity has no effect.
    """

    def __init__(
        self,
        rules: ItemRules,
        k: int,
        filters: FilterMasks,
        *,
        allowed: Mask | None,
        excluded: Indices,
        tiers: Sequence[AddBonus] = (add_logits,),
        get_vectors: Callable[[Indices], Floats] | None = None,
        shown: ShownItems | None = None,
    ) -> None:
        self._rules = rules
        self._k = k
        self._filters = filters
        self._allowed = allowed
        self._excluded = excluded
        self._tiers = tiers
        self._get_vectors = get_vectors
        self._limits = ValueLimits(rules.limits, filters) if rules.limits else None
        self._classes = filters.find_boost_classes(rules.boosts)
        self._has_classes = len(self._classes.classes) > 1
        self._has_bonuses = self._has_classes or shown is not None
        self._shown = shown
        self._picked: list[int] = []

    def rank(self, first: Ranked | None = None) -> Steps:
        """Return the answer after searches; it begins with `first`, if it has no promotions and one tier."""
        promoted: dict[int, Pick] = {}
        for item_filter, positions in self._rules.list_promotions(self._k):
            matches = self._filters.find_matches(item_filter)
            picks = yield from self._pick(len(positions), matches, 0.0)
            promoted |= dict(zip(positions, picks, strict=False))
        diversity = 0.0 if self._get_vectors is None else self._rules.diversity
        begin = [] if first is None else self._select(first, len(first.indices), 0, 0.0)
        ordinary = yield from self._pick(self._k - len(promoted), None, diversity, begin)
        return _arrange(promoted, ordinary)

    def _pick(
        self, count: int, matches: Mask | None, diversity: float, begin: Sequence[Pick] = ()
    ) -> Generator[list[Search], Sequence[Ranked], list[Pick]]:
        """Pick the best `count` items, if so many are eligible and match, of which `begin` are the first."""
        picks = list(begin)
        factor = DEEP if diversity or self._limits is not None else BOOSTED_DEPTH if self._has_classes else 1
        for tier, add_bonus in enumerate(self._tiers):
            depth, num_searches = self._plan_depth(count - len(picks), factor), 0
            is_first = add_bonus is add_logits and self._has_bonuses and not (diversity or picks)
            while len(picks) < count:
                search = self._search_once if is_first else self._search
                pool, is_complete = yield from search(tier, depth, matches)
                picks += self._select(pool, count - len(picks), tier, diversity)
                if is_complete:  # all eligible items of this tier
                    break
                num_searches, is_first = num_searches + 1, False
                depth = GROWTH * depth if diversity else self._plan_next_depth(count - len(picks), num_searches)
        return picks

    def _plan_depth(self, count: int, factor: int) -> int:
        """Items of the first search: enough for `count` without the shown ones, unless scores are equal."""
        return factor * count if self._shown is None else max(factor * count, count + len(self._shown.indices) + 1)

    def _plan_next_depth(self, count: int, num_searches: int) -> int:
        """Items of a later search: `count` without limits, and more with limits, which may reject the best of them."""
        return self._plan_depth(count, 1 if self._limits is None else GROWTH ** (1 + num_searches))

    def _search_once(self, tier: int, depth: int, matches: Mask | None) -> Pool:
        """Search without classes, and return the first items that no item behind `depth` can pass by its bonus."""
        search = Search(depth, self._find_excluded(), _intersect(self._list_masks(matches)), tier)
        ((indices, scores),) = yield [search]
        is_complete = len(indices) < depth
        boosted = scores + self._classes.get_bonuses(indices)
        if self._shown is not None:
            boosted = self._shown.lower(indices, boosted)
        order = np.lexsort((indices, -boosted))
        if not is_complete:
            bound = scores[-1] + self._classes.largest
            order = order[: np.count_nonzero(boosted > bound)]
        return Ranked(indices[order], boosted[order]), is_complete

    def _search(self, tier: int, depth: int, matches: Mask | None) -> Pool:
        """Search each class of boosts, its shown items apart, and merge."""
        masks, excluded, classes = self._list_masks(matches), self._find_excluded(), self._classes.classes
        bonuses = [group.bonus for group in classes]
        searches = [Search(depth, excluded, _intersect([*masks, group.mask]), tier) for group in classes]
        if self._shown is not None:
            bonuses += [bonus - self._shown.penalty for bonus in bonuses]
            others = [search._replace(excluded=self._shown.exclude_from(search.excluded)) for search in searches]
            searches = others + [search._replace(mask=self._shown.restrict(search.mask)) for search in searches]
        results = yield searches
        add_bonus = self._tiers[tier]
        if len(results) == 1:
            indices, scores = results[0].indices, add_bonus(results[0].scores, bonuses[0])
        else:
            indices = np.concatenate([result.indices for result in results])
            pairs = zip(results, bonuses, strict=True)
            scores = np.concatenate([add_bonus(result.scores, bonus) for result, bonus in pairs])
            order = np.lexsort((indices, -scores))[:depth]
            indices, scores = indices[order], scores[order]
        return Ranked(indices, scores), len(indices) < depth

    def _list_masks(self, matches: Mask | None) -> list[Mask]:
        exhausted = None if self._limits is None else self._limits.find_excluded()
        masks = [mask for mask in (self._allowed, matches) if mask is not None]
        return masks if exhausted is None else [*masks, ~exhausted]

    def _find_excluded(self) -> Indices:
        return np.append(self._excluded, np.array(self._picked, dtype=np.int64)) if self._picked else self._excluded

    def _select(self, pool: Ranked, count: int, tier: int, diversity: float) -> list[Pick]:
        """Select items of the pool that the limits allow, best first."""
        if not len(pool.indices):
            return []
        if diversity:
            positions = self._select_diverse(pool, count, diversity)
        elif self._limits is not None:
            positions = self._limits.select(pool.indices.tolist(), count)
        else:
            positions = list(range(min(count, len(pool.indices))))
        items, scores = pool.indices[positions].tolist(), pool.scores[positions].tolist()
        self._picked += items
        return list(map(Pick, items, scores, repeat(tier)))

    def _select_diverse(self, pool: Ranked, count: int, diversity: float) -> list[int]:
        assert self._get_vectors is not None
        previous = self._get_vectors(np.array(self._picked, dtype=np.int64))
        relevance = MarginalRelevance(pool.scores, self._get_vectors(pool.indices), previous, diversity)
        positions: list[int] = []
        while len(positions) < count and (position := relevance.find_best()) is not None:
            is_allowed = self._limits is None or self._limits.admit(int(pool.indices[position]))
            if is_allowed:
                positions.append(position)
            relevance.close(position, is_chosen=is_allowed)
        return positions


def _intersect(masks: Sequence[Mask | None]) -> Mask | None:
    """Join masks without changing any; None if there is none."""
    joined: Mask | None = None
    for mask in masks:
        if mask is not None:
            joined = mask if joined is None else joined & mask
    return joined


def _arrange(promoted: dict[int, Pick], ordinary: list[Pick]) -> Ranked:
    """Put promoted items at their positions, and at the end where there are not enough other items."""
    answer = ordinary
    for position in sorted(promoted):  # each insertion leaves the positions before it in place
        answer.insert(position, promoted[position])
    if not answer:
        return Ranked(np.empty(0, dtype=np.int64), np.empty(0))
    items, scores, tiers = zip(*answer, strict=True)
    if any(tiers):
        scores = tuple(_lower_later_tiers(answer))
    return Ranked(np.array(items, dtype=np.int64), np.array(scores, dtype=np.float64))


def _lower_later_tiers(answer: Sequence[Pick]) -> list[float]:
    """Return the scores of the first tier; those of later tiers fall by 1 from item to item below it."""
    first = [pick.score for pick in answer if pick.tier == 0]
    lowest = min(first, default=0.0)
    scores, num_later = [], 0
    for pick in answer:
        num_later += pick.tier > 0
        scores.append(lowest - num_later if pick.tier else pick.score)
    return scores
