"""Choose the features of a catalogue from the attributes of its items: those that some items share, and not nearly all.

A feature of a single item says nothing about another item, and one of nearly all items distinguishes none.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.catalogue.attributes import BIN_MARK, TEXT_MARK, AttributeFeatures, Edges, name_bin, split_feature
from models.catalogue.categories import CategoryIndex
from models.catalogue.string_array import StringArray
from models.data.item_attributes import ATTRIBUTES_TYPE

NUM_BINS = 8
"""Most bins of a number: all have about as many items."""
MIN_ITEMS = 2
MAX_SHARE = 0.9
"""Largest share of the items that a feature may have."""
MAX_FEATURES = 20_000
"""Most features of a catalogue, those of most items."""
MAX_ITEM_FEATURES = 32
"""Most features of an item, those of fewest items."""
MAX_NUMBERS = 64
"""Most attributes that are cut into bins, those of most items."""


def build_features(attributes: pl.Series) -> AttributeFeatures:
    """Build the features of items from a column of ATTRIBUTES_TYPE, which is in the order of the catalogue."""
    num_items = len(attributes)
    items = pl.DataFrame({"item": pl.int_range(num_items, eager=True), "value": attributes.cast(ATTRIBUTES_TYPE)})
    values = items.explode("value").drop_nulls("value").unnest("value")
    texts = values.drop_nulls("text").select("item", feature=pl.concat_str("name", pl.lit(TEXT_MARK), "text"))
    numbers = values.drop_nulls("number").filter(pl.col("number").is_finite())
    bins, edges = _cut_numbers(numbers)
    pairs = pl.concat([texts, bins]).unique()
    counts = pairs.group_by("feature").len().filter(pl.col("len").is_between(MIN_ITEMS, MAX_SHARE * num_items))
    counts = counts.sort(["len", "feature"], descending=[True, False]).head(MAX_FEATURES).with_row_index("number")
    kept = pairs.join(counts, on="feature").sort("item", "number", descending=[False, True])
    kept = kept.group_by("item", maintain_order=True).head(MAX_ITEM_FEATURES).sort("item", "number")
    lengths = np.bincount(kept["item"].to_numpy(), minlength=num_items)
    index = CategoryIndex(
        StringArray.from_strings(counts["feature"].to_list()),
        kept["number"].to_numpy().astype(np.int32),
        np.cumsum(lengths, dtype=np.int64),
    )
    used = {name.partition(BIN_MARK)[0] for name in index.names if TEXT_MARK not in name}
    return AttributeFeatures(index, {name: each for name, each in edges.items() if name in used})


def choose_edges(numbers: NDArray[np.float64]) -> Edges:
    """Choose the edges of at most NUM_BINS bins with about as many of the numbers, MIN_ITEMS or more.

    Few different numbers have one bin each.
    """
    distinct, num_bins = np.unique(numbers), min(NUM_BINS, len(numbers) // MIN_ITEMS)
    if len(distinct) > num_bins:
        shares = np.arange(1, num_bins) / max(num_bins, 1)
        return np.setdiff1d(np.quantile(numbers, shares, method="inverted_cdf"), distinct[:1])
    return distinct[1:]


def format_attributes(attributes: AttributeFeatures, names: Iterable[str]) -> str:
    """Format how many features each attribute has, and which of `names` have none."""
    counts = Counter(map(split_feature, attributes.index.names))
    used = ", ".join(f"{name} ({counts[name]:,} {_name_features(attributes, name)})" for name in sorted(counts))
    unused = ", ".join(sorted(set(names) - counts.keys()))
    lines = [f"attributes: {used or 'none of use'}"]
    return "; ".join([*lines, f"without values that some of the items share: {unused}"] if unused else lines)


def _name_features(attributes: AttributeFeatures, name: str) -> str:
    return "bins" if name in attributes.edges else "values"


def _cut_numbers(numbers: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Edges]]:
    """Cut numbers into bins: item and feature of each, and the edges by name."""
    most = numbers.group_by("name").len().sort(["len", "name"], descending=[True, False])["name"].head(MAX_NUMBERS)
    parts = [pl.DataFrame(schema={"item": pl.Int64(), "feature": pl.String()})]
    edges: dict[str, Edges] = {}
    for name in most.to_list():
        rows = numbers.filter(pl.col("name") == name)
        values = rows["number"].to_numpy()
        edges[name] = choose_edges(values)
        names = [name_bin(name, edges[name], number) for number in range(len(edges[name]) + 1)]
        features = np.array(names, dtype=np.object_)[np.searchsorted(edges[name], values, side="right")]
        parts.append(rows.select("item", feature=pl.Series(features.tolist(), dtype=pl.String)))
    return pl.concat(parts), edges
