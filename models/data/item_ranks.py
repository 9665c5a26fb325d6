"""The catalogue of a log: items by falling popularity, counted in the training part only."""

import numpy as np
import polars as pl

from models.catalogue.catalogue import Catalogue
from models.data.attribute_features import build_features
from models.data.held_out import HELD_OUT_EVENTS, TARGET_FLAG, is_training, mark_held_out
from models.data.item_attributes import ATTRIBUTES


def build_catalogue(events: pl.DataFrame, items: pl.DataFrame | None, moment_ms: int | None) -> Catalogue:
    """Build the catalogue of the items of `events`, sorted by user and time; those of a moment are before it.

    An event counts one whatever its weight as a target, because counts also decide which items are rare.
    """
    ranked = _rank_items(_mark_training_events(events, moment_ms), items)
    return Catalogue(
        item_ids=ranked["item_id"].to_list(),
        counts=ranked["count"].to_numpy().astype(np.int64),
        titles=ranked["title"].to_list(),
        categories=[names or [] for names in ranked["categories"].to_list()],
        attributes=build_features(ranked[ATTRIBUTES]) if ATTRIBUTES in ranked.columns else None,
    )


def _mark_training_events(ordered: pl.DataFrame, moment_ms: int | None) -> pl.DataFrame:
    """Add the column `training`."""
    if TARGET_FLAG in ordered.columns:
        return mark_held_out(ordered, moment_ms).with_columns(training=is_training(moment_ms))
    # Without the test targets, which are after the moment, one event of a user is held out.
    num_held_out = HELD_OUT_EVENTS if moment_ms is None else HELD_OUT_EVENTS - 1
    length, position = pl.len().over("user_id"), pl.int_range(pl.len()).over("user_id")
    return ordered.with_columns(training=(length <= HELD_OUT_EVENTS) | (position < length - num_held_out))


def _rank_items(marked: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
    """Rank items by descending training count, then id: item_id, count, title, categories, index, maybe attributes."""
    counts = marked.group_by("item_id").agg(count=pl.col("training").sum())
    ranked = counts.sort(["count", "item_id"], descending=[True, False]).with_row_index("index", offset=1)
    if items is None:
        no_categories = pl.lit(None, dtype=pl.List(pl.String))
        return ranked.with_columns(title=pl.lit(None, dtype=pl.String), categories=no_categories)
    names = ["item_id", "title", "categories", *([ATTRIBUTES] if ATTRIBUTES in items.columns else [])]
    descriptions = items.select(names).unique("item_id", keep="first", maintain_order=True)
    return ranked.join(descriptions, on="item_id", how="left", maintain_order="left")
