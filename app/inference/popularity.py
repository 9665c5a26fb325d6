"""Popular items of a catalogue under the filters of a query, without a model."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.inference.filters import ItemFilter
from app.inference.interfaces import ItemKeyIndex, SearchSpace, ServingVersion
from app.inference.query import Query, TopItems
from app.inference.rules.lists import Tier, rank_lists
from app.inference.rules.ranking import Ranked, multiply_odds
from app.inference.rules.shown import find_shown
from models.catalogue.item_key import ItemKeys

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
NO_INDICES: Indices = np.empty(0, dtype=np.int64)
ANY, ALL = "any", "all"
"""Parts of keys of combined masks."""


def find_popular_items(serving: ServingVersion, query: Query) -> TopItems:
    """Return the k most popular eligible items, scored by their counts; needs neither queue nor model."""
    catalogue = serving.catalogue
    history = catalogue.keys.find_indices(query.history)
    excluded = find_excluded(catalogue, drop_unknown(history), query)
    mask = build_allow_mask(serving, query.candidates, query.categories, query.item_filter)
    if query.rules is None:
        best = _find_first_eligible(catalogue.num_items, query.k, excluded, mask)
        counts = [float(catalogue.count(index)) for index in best]
    else:
        ranked = rank_under_rules(serving, query, [], allowed=mask, excluded=excluded)
        best, counts = ranked.indices.tolist(), ranked.scores.tolist()
    return TopItems(
        indices=best,
        scores=counts,
        source="popularity",
        unknown_positions=np.flatnonzero(history == 0),
        version=serving.version,
        catalogue=catalogue,
        started_at=time.perf_counter(),
    )


def rank_under_rules(
    serving: ServingVersion, query: Query, tiers: Sequence[Tier], *, allowed: Mask | None, excluded: Indices
) -> Ranked:
    """Apply the rules of a query to lists, and to the popular items behind them."""
    assert query.rules is not None
    catalogue = serving.catalogue

    def find_best(k: int, excluded: Indices, mask: Mask | None) -> Ranked:
        best = np.array(_find_first_eligible(catalogue.num_items, k, excluded, mask), dtype=np.int64)
        return Ranked(best, catalogue.counts[best - 1].astype(np.float64))

    popular = Tier(find_best, multiply_odds)
    all_tiers = [*tiers, popular]
    shown = find_shown(query.rules, catalogue.keys, catalogue.num_items)
    return rank_lists(query.rules, query.k, serving.filters, all_tiers, allowed=allowed, excluded=excluded, shown=shown)


def fill_with_popular_items(
    serving: ServingVersion, query: Query, indices: list[int], scores: list[float]
) -> tuple[list[int], list[float]]:
    """Append popular items until there are k, if so many are eligible; their scores fall by 1 from item to item."""
    if len(indices) >= query.k:
        return indices, scores
    present = set(indices)
    popular = [index for index in find_popular_items(serving, query).indices if index not in present]
    popular = popular[: query.k - len(indices)]
    last = scores[-1] if scores else 0.0
    return indices + popular, scores + [last - position for position in range(1, len(popular) + 1)]


def _find_first_eligible(num_items: int, k: int, excluded: Indices, mask: Mask | None) -> list[int]:
    """Find the first k eligible items in catalogue order, which is the order of popularity."""
    end = k + len(excluded)
    while True:
        ordered = np.arange(1, min(end, num_items) + 1)
        if mask is not None:
            ordered = ordered[mask[ordered]]
        best = ordered[~np.isin(ordered, excluded)][:k]
        if len(best) == k or end >= num_items:
            return [int(index) for index in best]
        end *= 4


def find_excluded(catalogue: ItemKeyIndex, seen_items: Indices, query: Query) -> Indices:
    """Indices that the answer must not contain: `query.exclude`, and the seen items if `query.exclude_seen`."""
    excluded = drop_unknown(catalogue.keys.find_indices(query.exclude)) if len(query.exclude) else NO_INDICES
    return np.concatenate((seen_items, excluded)) if query.exclude_seen else excluded


def build_allow_mask(
    serving: SearchSpace,
    candidates: ItemKeys | None,
    categories: tuple[str, ...],
    item_filter: ItemFilter | None = None,
) -> Mask | None:
    """Mask (num_items + 1,) of available candidates in one of the categories that match; None allows every item.

    It may be shared and must not be changed.
    """
    available = serving.live.available  # read once: the event loop may replace it
    masks = [] if available is None else [available]
    combine = serving.filters.combined.combine
    if categories:
        members = list(map(serving.live.find_category_members, categories))
        masks.append(combine((ANY, categories), members, np.logical_or))
    if item_filter is not None:
        masks.append(serving.filters.find_matches(item_filter))
    shared = combine((ALL, categories, item_filter and item_filter.text), masks, np.logical_and) if masks else None
    if candidates is None:
        return shared
    catalogue = serving.catalogue
    indices = drop_unknown(catalogue.keys.find_indices(candidates))
    mask = np.zeros(catalogue.num_items + 1, dtype=bool)
    mask[indices] = True if shared is None else shared[indices]
    return mask


def drop_unknown(indices: Indices) -> Indices:
    """Remove the zeros, the index of items that the catalogue does not contain."""
    return indices[indices > 0]
