"""New items of one version: which they are, and how they are searched; built from the live catalogue in any thread."""

from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.inference.live.version_view import VersionView
from app.inference.new_items.features import LiveFeatures
from app.inference.new_items.selection import NeighbourFinder, select_rows
from app.inference.new_items.space import ExtendedSpace
from models.catalogue.catalogue import Catalogue
from models.feature_neighbours import FeatureWeights
from models.new_items import ExtendedPredictor, place_items
from models.predictor import Predictor
from models.scorers.vectors import get_item_vectors


class Overlay(NamedTuple):
    """New items behind a catalogue, never changed; `substitutes` are the trained items that they are most like."""

    space: ExtendedSpace
    predictor: ExtendedPredictor
    substitutes: NDArray[np.int64]


def build_overlay(
    catalogue: Catalogue, view: VersionView, predictor: Predictor, lock: AbstractContextManager[object], limit: int
) -> Overlay | None:
    """Place at most `limit` new items, and read the model under `lock`. Items without neighbours are omitted.

    None without new items, and for a model that cannot have any.
    """
    features = LiveFeatures(view, catalogue.attributes)
    new_rows = select_rows(view, features, limit).tolist()
    if not new_rows or get_item_vectors(predictor.model) is None:
        return None
    finder = NeighbourFinder(view, catalogue.keys, features, FeatureWeights(predictor, lock))
    neighbours = [(row, finder.find(row)) for row in new_rows]
    pairs = [(row, near) for row, near in neighbours if near is not None]
    placed = place_items(predictor, [near for _, near in pairs], lock)
    if placed is None:
        return None
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    ids = [view.live.get_item_id(row) for row, _ in pairs]
    space = ExtendedSpace(catalogue, view, rows, ids)
    return Overlay(space, ExtendedPredictor(predictor, placed), placed.substitutes)
