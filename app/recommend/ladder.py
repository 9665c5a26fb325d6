"""Answers without the model, from the best source that has one: cached answer, item neighbours, popular items.

The cached answer of the user needs neither model nor history; neighbours need a history, if only that of the cached
answer; popular items need nothing. All of them apply the filters of the request, and return k items if so many are
eligible.
"""

import asyncio
import time
from dataclasses import replace

import numpy as np

from app.inference import (
    NO_INDICES,
    AnswerCache,
    CachedAnswer,
    Engine,
    Query,
    ServingVersion,
    TopItems,
    build_allow_mask,
    drop_unknown,
    fill_with_popular_items,
    find_excluded,
    find_neighbours,
    find_popular_items,
    rank_under_rules,
)
from app.inference.rules.lists import Tier, make_finder
from app.inference.rules.ranking import add_logits

MAX_SEARCHED_INLINE = 20_000
"""Most candidates whose items are found in the event loop: some 4 ms."""


class AnswerLadder:
    def __init__(self, engine: Engine, cache: AnswerCache) -> None:
        self._engine = engine
        self._cache = cache

    async def find_items(self, query: Query, user_id: str | None, history_version: int | None) -> TopItems:
        """Answer a query; without `history_version`, the stored history is not available and that of `query` empty.

        The history of the cached answer replaces it then. Without `user_id`, no cached answer is used: the history is
        that of the request.
        """
        serving = self._engine.servable
        answer = None if user_id is None else self._cache.get(user_id, serving.version, history_version)
        uses_cached_history = answer is not None and history_version is None
        if answer is not None and uses_cached_history:
            query = replace(query, history=answer.history)
        if _is_long(serving, query):
            top = await asyncio.to_thread(_find_in_best_source, serving, query, answer)
        else:
            top = _find_in_best_source(serving, query, answer)
        return replace(top, unknown_positions=NO_INDICES) if uses_cached_history else top

    async def find_popular(self, query: Query) -> TopItems:
        """Answer a query for which neither a model nor a history would help."""
        serving = self._engine.servable
        if _is_long(serving, query):
            return await asyncio.to_thread(find_popular_items, serving, query)
        return find_popular_items(serving, query)


def _is_long(serving: ServingVersion, query: Query) -> bool:
    filters = serving.filters
    if filters.is_long(query.item_filter, query.rules) or (query.rules is not None and filters.is_large):
        return True
    return query.candidates is not None and len(query.candidates) > MAX_SEARCHED_INLINE


def _find_in_best_source(serving: ServingVersion, query: Query, answer: CachedAnswer | None) -> TopItems:
    top = None if answer is None else apply_filters(serving, query, answer)
    return top or find_neighbours(serving, query) or find_popular_items(serving, query)


def apply_filters(serving: ServingVersion, query: Query, answer: CachedAnswer) -> TopItems | None:
    """Return the eligible items of a cached answer, filled up with popular items; None if there is none."""
    started_at = time.perf_counter()
    catalogue = serving.catalogue
    history = catalogue.keys.find_indices(query.history)
    excluded = find_excluded(catalogue, drop_unknown(history), query)
    mask = build_allow_mask(serving, query.candidates, query.categories, query.item_filter)
    excluded_items = set(excluded.tolist())
    items = [
        (index, score) for index, score in answer.items if index not in excluded_items and (mask is None or mask[index])
    ]
    if not items:
        return None
    if query.rules is None:
        best = items[: query.k]
        indices, scores = fill_with_popular_items(
            serving, query, [index for index, _ in best], [score for _, score in best]
        )
    else:
        cached, logits = np.array([index for index, _ in items]), np.array([score for _, score in items])
        tier = Tier(make_finder(cached, logits), add_logits)
        ranked = rank_under_rules(serving, query, [tier], allowed=mask, excluded=excluded)
        indices, scores = ranked.indices.tolist(), ranked.scores.tolist()
    return TopItems(
        indices=indices,
        scores=scores,
        source="cache",
        unknown_positions=np.flatnonzero(history == 0),
        version=serving.version,
        catalogue=catalogue,
        started_at=started_at,
    )
