"""Items that followed those of a history in training: an answer that needs the artifact's files but not the model."""

import logging
import time
from pathlib import Path

import numpy as np

from app.inference.interfaces import ServingVersion
from app.inference.popularity import (
    build_allow_mask,
    drop_unknown,
    fill_with_popular_items,
    find_excluded,
    rank_under_rules,
)
from app.inference.query import Query, TopItems
from app.inference.rules.lists import Tier, make_finder
from app.inference.rules.ranking import multiply_odds
from models.transitions.followers import Followers, open_followers

log = logging.getLogger("nextup")

WEIGHTS = "model.safetensors"


def find_neighbours(serving: ServingVersion, query: Query) -> TopItems | None:
    """Return the k eligible items that followed those of the history most often, then popular ones.

    None if the artifact has no followers, or none of them is eligible. Scores are the weights of followers; those of
    the popular items behind them fall by 1 from item to item.
    """
    started_at = time.perf_counter()
    catalogue = serving.catalogue
    history = catalogue.keys.find_indices(query.history)
    known_items = drop_unknown(history)
    if serving.followers is None or not len(known_items):
        return None
    items, weights = serving.followers.rank(known_items)
    excluded = find_excluded(catalogue, known_items, query)
    is_eligible = ~np.isin(items, excluded)
    if (mask := build_allow_mask(serving, query.candidates, query.categories, query.item_filter)) is not None:
        is_eligible &= mask[items]
    best = np.flatnonzero(is_eligible)[: query.k]
    if not len(best):
        return None
    if query.rules is None:
        indices, scores = fill_with_popular_items(serving, query, items[best].tolist(), weights[best].tolist())
    else:
        tier = Tier(make_finder(items, weights.astype(np.float64)), multiply_odds)
        ranked = rank_under_rules(serving, query, [tier], allowed=mask, excluded=excluded)
        indices, scores = ranked.indices.tolist(), ranked.scores.tolist()
    return TopItems(
        indices=indices,
        scores=scores,
        source="neighbours",
        unknown_positions=np.flatnonzero(history == 0),
        version=serving.version,
        catalogue=catalogue,
        started_at=started_at,
    )


def list_followers(serving: ServingVersion, index: int, k: int) -> list[tuple[str, float]]:
    """List the k available items that followed one most often in training, with their probabilities.

    Empty if the artifact has no followers.
    """
    if serving.followers is None:
        return []
    items, weights = serving.followers.rank(np.array([index]))
    if (available := serving.live.available) is not None:
        is_available = available[items]
        items, weights = items[is_available], weights[is_available]
    item_ids = [serving.catalogue.item_id(item) for item in items[:k].tolist()]
    return list(zip(item_ids, weights[:k].tolist(), strict=True))


def open_neighbours(folder: Path, num_items: int) -> Followers | None:
    """Open the followers of an artifact; a version whose followers cannot be read serves without them."""
    try:
        return open_followers(folder / WEIGHTS, num_items)
    except (OSError, ValueError) as error:
        log.warning(
            "%s has no readable followers of items; answers without the model are popular items: %s", folder, error
        )
        return None
