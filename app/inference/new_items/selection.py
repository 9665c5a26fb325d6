"""Chooses new items and their neighbours: trained items before them in histories, or that share what they are."""

import numpy as np
from numpy.typing import NDArray

from app.inference.live.version_view import VersionView
from app.inference.new_items.features import Feature, LiveFeatures
from models.catalogue.item_key import KeyIndex
from models.feature_neighbours import MAX_MEMBERS, FeatureWeights, choose_neighbours
from models.new_items import ItemNeighbours

Indices = NDArray[np.int64]
MAX_COOCCURRING = 5
"""Most neighbours from histories: the strongest."""
MIN_COOCCURRENCE = 5.0
"""Weight of the items before an item in histories from which on they place it: about three events."""


def select_rows(view: VersionView, features: LiveFeatures, limit: int) -> Indices:
    """Select the rows of listed items that the version does not know and that have features or events.

    Those that changed last, if there are more than `limit`.
    """
    rows = view.find_unknown_rows()
    has_events = view.live.cooccurrences.has(view.live.keys.values[rows])
    rows = rows[has_events | features.find_described(rows)]
    if len(rows) > limit:
        newest = np.argpartition(view.live.listed_at.values[rows], len(rows) - limit)[len(rows) - limit :]
        rows = rows[newest]
    order: Indices = np.sort(rows)
    return order


class NeighbourFinder:
    """Finds trained items by what they share with a new item; remembers what it has computed."""

    def __init__(self, view: VersionView, keys: KeyIndex, features: LiveFeatures, weights: FeatureWeights) -> None:
        """`keys` are those of the version's catalogue."""
        self._live = view.live
        self._keys = keys
        self._features = features
        self._weights = weights
        self._weighed: dict[Feature, tuple[Indices, int]] = {}
        self._neighbours: dict[tuple[Feature, ...], ItemNeighbours | None] = {}

    def find(self, row: int) -> ItemNeighbours | None:
        """Find the neighbours of the item in a row, by events if there are enough; None without any."""
        if (cooccurring := self._find_cooccurring(row)) is not None:
            return cooccurring
        features = self._features.list_features(row)
        if features not in self._neighbours:
            weighed = [self._weigh(feature) for feature in features]
            members, weights = [items for items, _ in weighed], [weight for _, weight in weighed]
            self._neighbours[features] = choose_neighbours(members, weights)
        return self._neighbours[features]

    def _find_cooccurring(self, row: int) -> ItemNeighbours | None:
        pairs = self._live.cooccurrences.find(int(self._live.keys.values[row]))
        if pairs is None or not len(pairs[0]):
            return None
        indices, weights = self._keys.find_indices(pairs[0]), pairs[1]
        if weights[indices > 0].sum() < MIN_COOCCURRENCE:
            return None
        order = np.lexsort((indices, -weights))
        strongest = order[indices[order] > 0][:MAX_COOCCURRING]
        return indices[strongest], weights[strongest].astype(np.float32)

    def _weigh(self, feature: Feature) -> tuple[Indices, int]:
        """Return the items of a feature that may be neighbours, and its weight."""
        if feature not in self._weighed:
            items = self._features.find_items(feature)
            self._weighed[feature] = items[:MAX_MEMBERS], self._weights.weigh(items)
        return self._weighed[feature]
