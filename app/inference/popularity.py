"""The most popular eligible items of a catalogue, and what a query's filters mean in it. No model, no torch."""

import time

import numpy as np
from numpy.typing import NDArray

from app.inference.query import Query, TopItems
from app.item_key import ItemKeys
from models.catalogue.catalogue import Catalogue

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
NOTHING: Indices = np.empty(0, dtype=np.int64)


def find_popular_items(catalogue: Catalogue, version: str, query: Query) -> TopItems:
    """Catalogue order is popularity order, the score is the count."""
    history = catalogue.keys.find_indices(query.history)
    excluded_items = excluded(catalogue, known(history), query)
    mask = allow_masks(catalogue, query.candidates, query.categories)
    # Without a mask the first k that are not denied stand among the first k + len(denied): no need to look further.
    last = min(catalogue.num_items, query.k + len(excluded_items))
    in_order = np.arange(1, last + 1) if mask is None else np.flatnonzero(mask)
    best = in_order[~np.isin(in_order, excluded_items)][: query.k].tolist()
    counts = [float(catalogue.count(index)) for index in best]
    unknown_positions = np.flatnonzero(history == 0)
    return TopItems(best, counts, "popularity", unknown_positions, version, catalogue, started_at=time.perf_counter())


def excluded(catalogue: Catalogue, seen: Indices, query: Query) -> Indices:
    """What is not answered: what the query excludes, and what was seen if it says so."""
    excluded_items = known(catalogue.keys.find_indices(query.exclude)) if len(query.exclude) else NOTHING
    return np.concatenate((seen, excluded_items)) if query.exclude_seen else excluded_items


def allow_masks(catalogue: Catalogue, candidates: ItemKeys | None, categories: tuple[str, ...]) -> Mask | None:
    """(num_items + 1,) what may be answered, None for everything: candidates that are in one of the categories."""
    if candidates is None and not categories:
        return None
    mask = np.zeros(catalogue.num_items + 1, dtype=bool)
    if candidates is not None:
        mask[known(catalogue.keys.find_indices(candidates))] = True
    if categories:
        members = np.zeros_like(mask)
        for name in categories:
            indices = catalogue.find_category_items(name)
            if indices is not None:
                members[indices] = True
        mask = members if candidates is None else mask & members
    return mask


def known(indices: Indices) -> Indices:
    return indices[indices > 0]
