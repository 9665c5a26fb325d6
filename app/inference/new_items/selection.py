"""Chooses new items and their neighbours: trained items before them in histories, or that share what they are."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.inference.live.dictionary_column import DictionaryColumn
from app.inference.live.version_view import VersionView
from models.catalogue.item_key import KeyIndex
from models.new_items import ItemNeighbours

Indices = NDArray[np.int64]
MAX_NEIGHBOURS = 20
"""Most neighbours of an item: the most popular of those that share most of its categories and texts."""
MAX_COOCCURRING = 5
"""Most neighbours from histories: the strongest."""
MIN_COOCCURRENCE = 5.0
"""Weight of the items before an item in histories from which on they place it: about three events."""
MAX_MEMBERS = 2000
"""Items of a category or text that may be neighbours: its most popular ones."""
MAX_TRAITS = 16
"""Most categories and texts of an item that count."""
MAX_VALUES = 10_000
"""Distinct values of an attribute above which it does not count: it names single items rather than kinds of them."""
Trait = tuple[str | None, str]
"""Name of an attribute, None for the categories, and one of its texts."""


def select_rows(view: VersionView, limit: int) -> NDArray[np.int64]:
    """Select the rows of listed items that the version does not know and that have categories, texts or events.

    Those that changed last, if there are more than `limit`.
    """
    rows = view.find_unknown_rows()
    rows = rows[_find_described(view, rows)]
    if len(rows) > limit:
        newest = np.argpartition(view.live.listed_at.values[rows], len(rows) - limit)[len(rows) - limit :]
        rows = rows[newest]
    order: NDArray[np.int64] = np.sort(rows)
    return order


class NeighbourFinder:
    """Finds trained items by what they share with a new item; remembers what it has computed."""

    def __init__(self, view: VersionView, keys: KeyIndex) -> None:
        """`keys` are those of the version's catalogue."""
        self._view = view
        self._keys = keys
        self._members: dict[Trait, Indices] = {}
        self._neighbours: dict[tuple[Trait, ...], ItemNeighbours | None] = {}

    def find(self, row: int) -> ItemNeighbours | None:
        """Find the neighbours of the item in a row, by events if there are enough; None without any."""
        if (cooccurring := self._find_cooccurring(row)) is not None:
            return cooccurring
        traits = self._list_traits(row)
        if traits not in self._neighbours:
            self._neighbours[traits] = self._compute_neighbours(traits)
        return self._neighbours[traits]

    def _find_cooccurring(self, row: int) -> ItemNeighbours | None:
        pairs = self._view.live.cooccurrences.find(int(self._view.live.keys.values[row]))
        if pairs is None or not len(pairs[0]):
            return None
        indices, weights = self._keys.find_indices(pairs[0]), pairs[1]
        if weights[indices > 0].sum() < MIN_COOCCURRENCE:
            return None
        order = np.lexsort((indices, -weights))
        strongest = order[indices[order] > 0][:MAX_COOCCURRING]
        return indices[strongest], weights[strongest].astype(np.float32)

    def _compute_neighbours(self, traits: tuple[Trait, ...]) -> ItemNeighbours | None:
        members = [self._find_members(trait) for trait in traits]
        if not any(map(len, members)):
            return None
        indices, counts = np.unique(np.concatenate(members), return_counts=True)
        nearest = indices[counts == counts.max()][:MAX_NEIGHBOURS]
        return nearest, np.ones(len(nearest), dtype=np.float32)

    def _list_traits(self, row: int) -> tuple[Trait, ...]:
        live = self._view.live
        traits: list[Trait] = [(None, name) for name in _list_texts(live.categories.get(row))]
        for name, column in list(live.attributes.values.items()):
            if column.num_values <= MAX_VALUES:
                traits += [(name, text) for text in _list_texts(column.get(row))]
        return tuple(traits[:MAX_TRAITS])

    def _find_members(self, trait: Trait) -> Indices:
        members = self._members.get(trait)
        if members is None:
            members = self._members[trait] = self._compute_members(trait)
        return members

    def _compute_members(self, trait: Trait) -> Indices:
        name, text = trait
        if name is None:
            return np.flatnonzero(self._view.find_category_members(text))[:MAX_MEMBERS]
        column: DictionaryColumn = self._view.live.attributes.values[name]
        matches = column.match(lambda value: text == value or (isinstance(value, tuple) and text in value))
        return np.flatnonzero(self._view.to_items(matches))[:MAX_MEMBERS]


def _find_described(view: VersionView, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    has_trait = view.live.cooccurrences.has(view.live.keys.values[rows])
    for column in (view.live.categories, *view.live.attributes.values.values()):
        is_set = column.has_value()
        has_trait |= is_set[np.minimum(rows, len(is_set) - 1)] & (rows < len(is_set))
    return has_trait


def _list_texts(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()
