"""Items that a trained model never saw, put beside those it knows: by who they are seen with, else by their category.

Item-based embeddings place a new item from its neighbours (`compute_new_item_rows`), so nothing is trained again and no
other answer changes but by the new item's own place in it. It knows histories and catalogues, no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from models.batch import History
from models.build import build_model
from models.catalogue.catalogue import Catalogue
from models.embeddings.base import Neighbours
from models.recommender import SequentialRecommender

WINDOW = 3
"""Events before and behind that count as seen together; nearer ones count more, by one over the distance."""
MAX_NEIGHBOURS = 20
"""Neighbours of an item, the strongest; of a category, its most popular items."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """`neighbours` are catalogue indices of known items; `source` says how they were found."""

    item_id: str
    neighbours: Neighbours
    source: str


def find_neighbours(
    histories: Sequence[History], known: Catalogue, new_ids: Sequence[str], categories: Sequence[Sequence[str]]
) -> list[NewItem]:
    """Those of the new items that have neighbours; `histories` count new item n as index num_items + 1 + n."""
    together = _seen_together(histories, known.num_items)
    found: list[NewItem] = []
    for number, item_id in enumerate(new_ids):
        if (pairs := together.get(known.num_items + 1 + number)) is not None:
            found.append(NewItem(item_id, pairs, "events"))
            continue
        members = [known.find_category_items(name) for name in categories[number]]
        if popular := [one[:MAX_NEIGHBOURS] for one in members if one is not None]:
            indices, shared = np.unique(np.concatenate(popular), return_counts=True)
            found.append(NewItem(item_id, _tensors(indices, shared.astype(np.float64)), "categories"))
    return found


def with_new_items(model: SequentialRecommender, neighbours: Sequence[Neighbours]) -> SequentialRecommender:
    """The same model with one more item for each of the neighbours, at the end of the catalogue.

    ValueError for a model whose embedding or head has no way to take one in.
    """
    state = model.state_dict()
    try:
        rows = model.embedding.compute_new_item_rows(neighbours)
        for name, more in rows.items():
            state[f"embedding.{name}"] = torch.cat((state[f"embedding.{name}"], more))
        grown = build_model(model.config, model.embedding.num_items + len(neighbours))
        grown.load_state_dict(state)
    except (NotImplementedError, RuntimeError) as error:
        parts = f"{model.config.embedding.name} embedding and a {model.config.head.name} head"
        raise ValueError(f"a model with a {parts} takes no new items without training") from error
    return grown


def _seen_together(histories: Sequence[History], last_known: int) -> dict[int, Neighbours]:
    """New index → the known items around its events, strongest first."""
    events = np.concatenate([np.concatenate((history, np.zeros(WINDOW, dtype=np.int64))) for history in histories])
    pairs = []
    for distance in range(1, WINDOW + 1):  # the zeros between histories keep users apart
        ahead, behind = events[:-distance], events[distance:]
        for new, near in ((ahead, behind), (behind, ahead)):
            kept = (new > last_known) & (near > 0) & (near <= last_known)
            pairs.append(
                pl.DataFrame({"new": new[kept], "near": near[kept], "weight": np.full(kept.sum(), 1 / distance)})
            )
    strongest = (
        pl.concat(pairs)
        .group_by("new", "near")
        .agg(pl.col("weight").sum())
        .sort("new", "weight", "near", descending=[False, True, False])
        .group_by("new", maintain_order=True)
        .head(MAX_NEIGHBOURS)
    )
    return {
        int(index): _tensors(rows["near"].to_numpy(), rows["weight"].to_numpy())
        for (index,), rows in strongest.partition_by("new", as_dict=True).items()
    }


def _tensors(indices: NDArray[np.int64], weights: NDArray[np.float64]) -> Neighbours:
    return torch.from_numpy(indices.copy()), torch.from_numpy(weights.astype(np.float32))
