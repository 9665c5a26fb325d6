"""Popular items of a catalogue under the filters of a query, without a model."""

import time

import numpy as np
from numpy.typing import NDArray

from app.inference.interfaces import ServingVersion
from app.inference.query import Query, TopItems
from models.catalogue.catalogue import Catalogue
from models.catalogue.item_key import ItemKeys

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
NO_INDICES: Indices = np.empty(0, dtype=np.int64)


def find_popular_items(serving: ServingVersion, query: Query) -> TopItems:
    """Return the k most popular eligible items, scored by their counts; needs neither queue nor model."""
    catalogue = serving.catalogue
    history = catalogue.keys.find_indices(query.history)
    excluded = find_excluded(catalogue, drop_unknown(history), query)
    mask = build_allow_mask(catalogue, query.candidates, query.categories)
    # Catalogue order is popularity order. Without a mask, the first k that are not excluded are among the first
    # k + len(excluded).
    last = min(catalogue.num_items, query.k + len(excluded))
    ordered = np.arange(1, last + 1) if mask is None else np.flatnonzero(mask)
    best = ordered[~np.isin(ordered, excluded)][: query.k].tolist()
    counts = [float(catalogue.count(index)) for index in best]
    return TopItems(
        indices=best,
        scores=counts,
        source="popularity",
        unknown_positions=np.flatnonzero(history == 0),
        version=serving.version,
        catalogue=catalogue,
        started_at=time.perf_counter(),
    )


def find_excluded(catalogue: Catalogue, seen_items: Indices, query: Query) -> Indices:
    """Indices that the answer must not contain: `query.exclude`, and the seen items if `query.exclude_seen`."""
    excluded = drop_unknown(catalogue.keys.find_indices(query.exclude)) if len(query.exclude) else NO_INDICES
    return np.concatenate((seen_items, excluded)) if query.exclude_seen else excluded


def build_allow_mask(catalogue: Catalogue, candidates: ItemKeys | None, categories: tuple[str, ...]) -> Mask | None:
    """Mask (num_items + 1,) of the candidates that are in one of the categories; None allows every item."""
    if candidates is None and not categories:
        return None
    mask = np.zeros(catalogue.num_items + 1, dtype=bool)
    if candidates is not None:
        mask[drop_unknown(catalogue.keys.find_indices(candidates))] = True
    if categories:
        members = np.zeros_like(mask)
        for name in categories:
            indices = catalogue.find_category_items(name)
            if indices is not None:
                members[indices] = True
        mask = members if candidates is None else mask & members
    return mask


def drop_unknown(indices: Indices) -> Indices:
    """Remove the zeros, the index of items that the catalogue does not contain."""
    return indices[indices > 0]
