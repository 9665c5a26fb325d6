"""Extend a model without retraining: place new items, and count the followers of all items again.

New items are placed by items that co-occur with them, else by their categories and attributes, as a service places
them (`feature_neighbours.py`). Embeddings based on items derive the
rows of a new item from its neighbors (`rows_for_new_items`). Scores of existing items change only by counting again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from models.batch import History
from models.build import build_model
from models.catalogue.attributes import Value, list_values
from models.catalogue.catalogue import Catalogue
from models.embeddings.base import Neighbours
from models.feature_neighbours import MAX_MEMBERS, FeatureWeights, Indices, choose_neighbours
from models.feature_neighbours import Neighbours as ItemNeighbours
from models.golden import NUM_GOLDEN_HISTORIES
from models.predictor import Predictor
from models.recommender import SequentialRecommender
from models.transitions.counting import fill_memory

ATTRIBUTES = "attributes"
"""Column of new items with the rows of their attributes (`list_values`); they may lack it."""
WINDOW = 3
"""Events before and after that count as co-occurring, weighted by one over the distance."""
MAX_NEIGHBOURS = 20
"""Most neighbors of an item by its events: the strongest."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """A new item with the catalogue indices of its neighbors; `source` is "events" or "features"."""

    item_id: str
    neighbours: Neighbours
    source: str


def list_new_items(catalogue: Catalogue, events: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """List items that the catalogue lacks: those of `items` first, then those that occur only in `events`.

    The columns are item_id, title and categories, and attributes if `items` has them; `items` may have more.
    """
    no_title, no_categories = pl.lit(None, dtype=pl.String), pl.lit([], dtype=pl.List(pl.String))
    listed = events.select("item_id").unique(maintain_order=True).with_columns(title=no_title, categories=no_categories)
    if items is not None:
        described = items.select([*listed.columns, *({ATTRIBUTES} & set(items.columns))])
        others = listed.join(described, on="item_id", how="anti")
        listed = pl.concat([described, others], how="diagonal")
    return listed.filter(~pl.col("item_id").is_in(catalogue.item_ids))


def extend_catalogue(catalogue: Catalogue, new_items: pl.DataFrame) -> Catalogue:
    """Append new items with a count of 0: the model was not trained on any of their events."""
    return Catalogue(
        [*catalogue.item_ids, *new_items["item_id"].to_list()],
        np.concatenate((catalogue.counts, np.zeros(len(new_items), dtype=np.int64))),
        [*catalogue.titles, *new_items["title"].to_list()],
        [*catalogue.categories, *(names or [] for names in new_items["categories"].to_list())],
        attributes=catalogue.attributes.extend(_list_item_values(new_items)),
    )


def select_golden_histories(
    histories: Sequence[History], num_trained_items: int, earlier: Sequence[Sequence[int]]
) -> list[History]:
    """Select evenly spread histories for golden outputs and remove new items from them.

    `earlier` are the golden histories of the trained artifact, returned if only new items were selected.
    """
    rows = np.linspace(0, len(histories) - 1, min(NUM_GOLDEN_HISTORIES, len(histories))).astype(int)
    trained = [histories[row][histories[row] <= num_trained_items] for row in rows]
    selected = [history for history in trained if len(history)]
    return selected or [np.array(history, dtype=np.int64) for history in earlier]


def find_neighbours(
    histories: Sequence[History], catalogue: Catalogue, predictor: Predictor, new_items: pl.DataFrame
) -> list[NewItem]:
    """Find neighbors of the new items; items without any are omitted.

    In `histories` new item n has index num_items + 1 + n.
    """
    cooccurrence = _count_cooccurrences(histories, catalogue.num_items)
    finder = _FeatureFinder(catalogue, predictor)
    placed: list[NewItem] = []
    columns = new_items["item_id"].to_list(), new_items["categories"].to_list(), _list_item_values(new_items)
    for index, (item_id, categories, values) in enumerate(zip(*columns, strict=True), start=catalogue.num_items + 1):
        if (neighbours := cooccurrence.get(index)) is not None:
            placed.append(NewItem(item_id, neighbours, "events"))
        elif (similar := finder.find(categories, values)) is not None:
            placed.append(NewItem(item_id, _to_tensors(*similar), "features"))
    return placed


def _list_item_values(new_items: pl.DataFrame) -> list[list[Value]]:
    """List the values of the attributes of every new item."""
    rows = new_items[ATTRIBUTES].to_list() if ATTRIBUTES in new_items.columns else [None] * len(new_items)
    return [list_values(each) for each in rows]


class _FeatureFinder:
    """Finds neighbors by categories and attributes; remembers the weights of features."""

    def __init__(self, catalogue: Catalogue, predictor: Predictor) -> None:
        self._catalogue = catalogue
        self._weights = FeatureWeights(predictor)
        self._weighed: dict[tuple[str, str], tuple[Indices, int] | None] = {}

    def find(self, categories: Sequence[str] | None, values: Sequence[Value]) -> ItemNeighbours | None:
        features = [("category", name) for name in dict.fromkeys(categories or [])]
        features += [("attribute", name) for name in self._catalogue.attributes.list_features(values)]
        known = [pair for feature in features if (pair := self._weigh(feature)) is not None]
        return choose_neighbours([items for items, _ in known], [weight for _, weight in known])

    def _weigh(self, feature: tuple[str, str]) -> tuple[Indices, int] | None:
        if feature not in self._weighed:
            kind, name = feature
            find = self._catalogue.find_category_items if kind == "category" else self._catalogue.attributes.find_items
            items = find(name)
            self._weighed[feature] = None if items is None else (items[:MAX_MEMBERS], self._weights.weigh(items))
        return self._weighed[feature]


def with_new_items(model: SequentialRecommender, neighbours: Sequence[Neighbours]) -> SequentialRecommender:
    """Copy the model with one more item per entry of `neighbours`, at the end of the catalogue.

    ValueError if its embedding or head does not support new items.
    """
    state = model.state_dict()
    try:
        rows = model.embedding.compute_new_item_rows(neighbours)
        for name, new_rows in rows.items():
            state[f"embedding.{name}"] = torch.cat((state[f"embedding.{name}"], new_rows))
        num_items = model.embedding.num_items + len(neighbours)
        if model.transitions is not None:
            state["transitions.rows"] = model.transitions.make_extended_rows(num_items)
        extended = build_model(model.config, num_items)
        extended.load_state_dict(state)
    except (NotImplementedError, RuntimeError) as error:
        parts = f"{model.config.embedding.name} embedding and a {model.config.head.name} head"
        raise ValueError(f"a model with a {parts} does not support new items; train it again") from error
    return extended


def with_recounted_transitions(
    model: SequentialRecommender, histories: Sequence[History], weights: Sequence[NDArray[np.float32]] | None = None
) -> SequentialRecommender:
    """Copy the model with the followers in these histories; all weights of the model stay, those of the mixture, too.

    `weights` are those of the events as targets, parallel to the histories; None if all are equal.

    ValueError if the model has no transition memory.
    """
    if model.transitions is None:
        raise ValueError("the artifact has no transition memory to count again; train with --transitions")
    recounted = build_model(model.config, model.embedding.num_items)
    recounted.load_state_dict(model.state_dict())
    assert recounted.transitions is not None
    fill_memory(recounted.transitions, histories, weights)
    return recounted


def _count_cooccurrences(histories: Sequence[History], last_known: int) -> dict[int, Neighbours]:
    """Map each new index to the known items around its events, strongest first."""
    events = np.concatenate([np.concatenate((history, np.zeros(WINDOW, dtype=np.int64))) for history in histories])
    pairs = []
    for distance in range(1, WINDOW + 1):  # the zeros between histories separate users
        ahead, behind = events[:-distance], events[distance:]
        for new, near in ((ahead, behind), (behind, ahead)):
            is_pair = (new > last_known) & (near > 0) & (near <= last_known)
            weights = np.full(is_pair.sum(), 1 / distance)
            pairs.append(pl.DataFrame({"new": new[is_pair], "near": near[is_pair], "weight": weights}))
    strongest = (
        pl.concat(pairs)
        .group_by("new", "near")
        .agg(pl.col("weight").sum())
        .sort("new", "weight", "near", descending=[False, True, False])
        .group_by("new", maintain_order=True)
        .head(MAX_NEIGHBOURS)
    )
    return {
        int(index): _to_tensors(rows["near"].to_numpy(), rows["weight"].to_numpy())
        for (index,), rows in strongest.partition_by("new", as_dict=True).items()
    }


def _to_tensors(indices: Indices, weights: NDArray[np.floating]) -> Neighbours:
    return torch.from_numpy(indices.copy()), torch.from_numpy(weights.astype(np.float32))
