"""Search in the catalogue of a version and among the new items of the live catalogue, by id and title.

Ids and titles of training are searched, ids of new items, and those titles of the live catalogue that the caller has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from app.inference.interfaces import ServingVersion
from models.catalogue.folding import fold
from models.catalogue.item_key import item_keys
from models.catalogue.search import Matches, find_containing, find_prefixed
from models.catalogue.string_array import StringArray

MAX_NEW_ITEMS = 10_000
"""Items of the live catalogue that the version does not know; older ones are not searched."""
MAX_SECONDS = 1.0
"""After this time, items that contain the text are no longer searched for."""


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """An item with its title of training, None for a new item, and the categories of the moment."""

    item_id: str
    title: str | None
    categories: tuple[str, ...]
    available: bool


@dataclass(frozen=True, slots=True)
class LiveTitles:
    """Titles of the live catalogue by item id; `is_complete` says whether these are all."""

    titles: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = True


NO_TITLES = LiveTitles()


@dataclass(frozen=True, slots=True)
class ItemMatches:
    """Items in their order; `is_complete` says whether no other item matches."""

    items: list[ItemMatch]
    is_complete: bool


def search_items(serving: ServingVersion, text: str, limit: int, live: LiveTitles = NO_TITLES) -> ItemMatches:
    """Find at most `limit` items by id and title without regard to case.

    The exact id comes first, then ids and titles that begin with the text, then those that contain it; each by falling
    popularity, then new items.
    """
    search = _Search(serving, live)
    rows, is_complete = search.list_rows(text, limit + 1)
    return ItemMatches([search.describe(row) for row in rows[:limit]], is_complete and len(rows) <= limit)


Part = tuple[StringArray, int | NDArray[np.int64]]
"""Strings, and the row of the first one or of each of them."""


class _Search:
    """One search. Rows are positions in the catalogue, and behind them those of new items."""

    def __init__(self, serving: ServingVersion, live: LiveTitles) -> None:
        self._catalogue, self._view, self._available = serving.catalogue, serving.live, serving.live.available
        new_rows = serving.live.find_unknown_rows()
        self._has_all = live.is_complete and len(new_rows) <= MAX_NEW_ITEMS
        self._new_rows = new_rows[-MAX_NEW_ITEMS:].tolist()
        self._new_ids = [serving.live.live.get_item_id(row) for row in self._new_rows]
        num_items = self._catalogue.num_items
        self._ids: Sequence[Part] = (
            (self._catalogue.item_ids, 0),
            (StringArray.from_strings(self._new_ids), num_items),
        )
        self._parts = (*self._ids, (self._catalogue.title_strings, 0), self._locate(live.titles))

    def _locate(self, titles: Mapping[str, str]) -> Part:
        """Return titles of the live catalogue with their rows, without those of items that are not searched."""
        new_rows = {item_id: self._catalogue.num_items + row for row, item_id in enumerate(self._new_ids)}
        indices = self._catalogue.keys.find_indices(item_keys(titles)).tolist()
        pairs = zip(titles, indices, strict=True)
        rows = {item_id: index - 1 if index else new_rows.get(item_id, -1) for item_id, index in pairs}
        listed = [item_id for item_id, row in rows.items() if row >= 0]
        strings = StringArray.from_strings([titles[item_id] for item_id in listed])
        return strings, np.array([rows[item_id] for item_id in listed], dtype=np.int64)

    def list_rows(self, text: str, count: int) -> tuple[list[int], bool]:
        """List about `count` matches, the best first, and whether there are no others."""
        needle = fold(text.encode())
        if not needle:
            return list(range(min(count, self._catalogue.num_items + len(self._new_ids)))), self._has_all
        exact = self._catalogue.find_index(text)
        rows = [] if exact is None else [exact - 1]
        rows += self._join([find_prefixed(ids, needle, count, is_whole=True) for ids, _ in self._ids], self._ids)
        prefixed = [find_prefixed(strings, needle, count) for strings, _ in self._parts]
        rows = list(dict.fromkeys(rows + self._join(prefixed, self._parts)))
        if len(rows) >= count:
            return rows, False
        stop_at = perf_counter() + MAX_SECONDS
        containing = [find_containing(strings, needle, count + len(rows), stop_at) for strings, _ in self._parts]
        rows = list(dict.fromkeys(rows + self._join(containing, self._parts)))
        return rows, self._has_all and all(matches.is_complete for matches in containing)

    def describe(self, row: int) -> ItemMatch:
        """Describe the item of a row as in training, with the availability and the categories of the moment."""
        live = self._view.live
        if row >= self._catalogue.num_items:
            new_row = self._new_rows[row - self._catalogue.num_items]
            names = live.categories.get(new_row)
            categories = names if isinstance(names, tuple) else ()
            return ItemMatch(live.get_item_id(new_row), None, categories, bool(live.available.values[new_row]))
        index = row + 1
        live_row = int(self._view.find_rows(np.array([index]))[0])
        return ItemMatch(
            self._catalogue.item_id(index),
            self._catalogue.title(index),
            self._view.get_categories(index, live_row),
            self._available is None or bool(self._available[index]),
        )

    def _join(self, matches: Sequence[Matches], parts: Sequence[Part]) -> list[int]:
        """Join matches in several lists of strings to rows, ascending."""
        rows = [
            part.positions + where if isinstance(where, int) else where[part.positions]
            for part, (_, where) in zip(matches, parts, strict=True)
        ]
        joined: list[int] = np.unique(np.concatenate(rows)).tolist()
        return joined
