"""Rules for answers without the model: ranked lists of items, one after another."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from app.inference.filters.masks import FilterMasks
from app.inference.live.mask_cache import Mask
from app.inference.rules.batch import run_rankings
from app.inference.rules.item_rules import ItemRules
from app.inference.rules.ranking import AddBonus, Indices, Ranked, RuledRanking, Search
from app.inference.rules.shown import ShownItems

FindBest = Callable[[int, Indices, Mask | None], Ranked]
"""Returns the first k items of a list that are not excluded and that the mask allows."""


class Tier(NamedTuple):
    """A list of items by descending score, and how a bonus changes these scores."""

    find_best: FindBest
    add_bonus: AddBonus


def rank_lists(
    rules: ItemRules,
    k: int,
    filters: FilterMasks,
    tiers: Sequence[Tier],
    *,
    allowed: Mask | None,
    excluded: Indices,
    shown: ShownItems | None = None,
) -> Ranked:
    """Apply rules to the first list, and to later ones as far as k items are not found before.

    Diversity has no effect, because the process may have no item vectors.
    """
    bonuses = [tier.add_bonus for tier in tiers]
    ranking = RuledRanking(rules, k, filters, allowed=allowed, excluded=excluded, tiers=bonuses, shown=shown)

    def run(searches: Sequence[tuple[int, Search]]) -> list[Ranked]:
        return [tiers[search.tier].find_best(search.k, search.excluded, search.mask) for _, search in searches]

    (answer,) = run_rankings([ranking.rank()], run)
    return answer


def make_finder(items: Indices, scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> FindBest:
    """Make the search of a short list; its items are sorted by score."""

    def find_best(k: int, excluded: Indices, mask: Mask | None) -> Ranked:
        is_eligible = ~np.isin(items, excluded)
        if mask is not None:
            is_eligible &= mask[items]
        best = np.flatnonzero(is_eligible)[:k]
        return Ranked(items[best], scores[best])

    return find_best
