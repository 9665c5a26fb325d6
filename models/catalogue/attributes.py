"""Features of items from their attributes, such as `brand=Lumen`: a kind of category, each name stored once.

Texts, booleans and the texts of lists are features as they are. Numbers are cut into bins, `price:10..20`, whose edges
belong to the version, so that new items get features that trained items have. Names of attributes contain neither `=`
nor `:`, so no two attributes share a feature. Features are not categories: answers and filters do not show them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from models.catalogue.categories import CategoryIndex

TEXT_MARK, BIN_MARK = "=", ":"
Edges = NDArray[np.float64]
Value = tuple[str, str | float]
"""Name of an attribute, and one of its values: a text or a number; booleans are the texts `true` and `false`."""


class AttributeRow(TypedDict):
    """A value in a table of items; `text` or `number` is None."""

    name: str
    text: str | None
    number: float | None


def list_values(rows: Iterable[AttributeRow] | None) -> list[Value]:
    """List the values of the rows of an item."""
    pairs = ((row["name"], row["number"] if row["text"] is None else row["text"]) for row in rows or ())
    return [(name, value) for name, value in pairs if value is not None]


class AttributeFeatures:
    """The features of every item, and the edges of the bins of numbers: bin b has edges[b − 1] ≤ number < edges[b]."""

    def __init__(self, index: CategoryIndex, edges: Mapping[str, Edges]) -> None:
        self.index, self.edges = index, edges

    @classmethod
    def empty(cls, num_items: int) -> "AttributeFeatures":
        """Items without attributes, which take no memory."""
        nothing = CategoryIndex.empty(0)
        return cls(CategoryIndex(nothing.names, nothing.numbers, np.broadcast_to(np.int64(0), num_items)), {})

    def __len__(self) -> int:
        return len(self.index)

    @property
    def has_features(self) -> bool:
        return len(self.index.numbers) > 0

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + sum(edges.nbytes for edges in self.edges.values()) if self.has_features else 0

    @property
    def names(self) -> frozenset[str]:
        """Names of the attributes that have features."""
        return frozenset(split_feature(name) for name in self.index.names)

    def find_items(self, feature: str) -> NDArray[np.int64] | None:
        """Indices of the items with a feature, ascending; None for an unknown feature."""
        positions = self.index.find_members(feature)
        return None if positions is None else positions + 1

    def list_features(self, values: Sequence[Value]) -> list[str]:
        """List the features of an item with these values, known or not; numbers without bins have none."""
        features = []
        for name, value in values:
            if isinstance(value, str):
                features.append(name_text(name, value))
            elif name in self.edges:
                features.append(name_bin(name, self.edges[name], find_bin(self.edges[name], value)))
        return list(dict.fromkeys(features))

    def extend(self, values: Sequence[Sequence[Value]]) -> "AttributeFeatures":
        """Append items, with those of their features that are known."""
        known = set(self.index.names)
        lists = [[feature for feature in self.list_features(each) if feature in known] for each in values]
        return AttributeFeatures(CategoryIndex.from_lists([*self.index, *lists]), self.edges)


def name_text(name: str, text: str) -> str:
    return f"{name}{TEXT_MARK}{text}"


def name_bin(name: str, edges: Edges, number: int) -> str:
    """Name the bin of a number by its bounds: `price:..10`, `price:10..20` or `price:20..`."""
    low = "" if number == 0 else _format_edge(edges[number - 1])
    high = "" if number == len(edges) else _format_edge(edges[number])
    return f"{name}{BIN_MARK}{low}..{high}"


def find_bin(edges: Edges, value: float) -> int:
    return int(np.searchsorted(edges, value, side="right"))


def split_feature(feature: str) -> str:
    """Return the name of the attribute that a feature is of."""
    return feature.partition(TEXT_MARK)[0].partition(BIN_MARK)[0]


def _format_edge(edge: np.float64) -> str:
    """Format a number with all its digits, so that different edges have different names."""
    return repr(float(edge)).removesuffix(".0")
