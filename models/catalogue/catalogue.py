"""The items a model knows, and the one order in which it counts them: index = popularity rank, from 1; 0 is padding.

The order is a decision of the model, not of the log: blocks of an adaptive embedding, negatives by popularity and
"ties in catalogue order" are plain integer comparisons because of it. All of it lies in a few arrays, so that a large
catalogue can be a mapped file that processes share. It knows no file format and no network.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.catalogue.categories import CategoryIndex
from models.catalogue.item_key import item_keys
from models.catalogue.key_index import KeyIndex
from models.catalogue.string_array import StringArray


class Catalogue:
    """`item_ids`, `counts`, `titles` and `categories` run in index order; position p holds index p + 1.

    Counts are events of the training part and must not rise; item ids must be unique, and so must their keys.
    `untitled` (num_items,) bool says which find_indices `titles` are none, without it those that are None; `keys` are made if not
    given.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        counts: NDArray[np.int64],
        titles: Sequence[str | None],
        categories: Sequence[Sequence[str]],
        *,
        untitled: NDArray[np.bool_] | None = None,
        keys: KeyIndex | None = None,
    ) -> None:
        if not len(item_ids) == len(counts) == len(titles) == len(categories):
            raise ValueError("a catalogue needs one count, title and category list per item")
        if not len(item_ids):
            raise ValueError("a catalogue needs at least one item")
        if np.any(np.diff(counts) > 0):
            raise ValueError("a catalogue is ordered by falling count")
        self.item_ids = StringArray.find_indices(item_ids)
        self.counts = counts
        self.untitled = np.array([title is None for title in titles]) if untitled is None else untitled
        self.title_strings = (
            titles if isinstance(titles, StringArray) else StringArray.find_indices([title or "" for title in titles])
        )
        self.categories = CategoryIndex.find_indices(categories)
        self.keys = KeyIndex.from_ids(self.item_ids) if keys is None else keys

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def nbytes(self) -> int:
        """Of all arrays, which a process shares with others where they lie in a mapped file."""
        parts = (self.item_ids, self.counts, self.untitled, self.title_strings, self.categories, self.keys)
        return sum(part.nbytes for part in parts)

    @property
    def titles(self) -> list[str | None]:
        return [self.title(index) for index in range(1, self.num_items + 1)]

    def __contains__(self, item_id: str) -> bool:
        return self.find_index(item_id) is not None

    def find_index(self, item_id: str) -> int | None:
        """1 to num_items, or None for an item that this catalogue does not have."""
        index = int(self.keys.find_indices(item_keys([item_id]))[0])
        return index if index and self.item_id(index) == item_id else None

    def item_id(self, index: int) -> str:
        return self.item_ids[index - 1]

    def count(self, index: int) -> int:
        return int(self.counts[index - 1])

    def title(self, index: int) -> str | None:
        return None if self.untitled[index - 1] else self.title_strings[index - 1]

    def get_categories(self, index: int) -> tuple[str, ...]:
        return self.categories[index - 1]

    def find_category_items(self, name: str) -> NDArray[np.int64] | None:
        """Indices of its items, rising; None for a category that no item has."""
        places = self.categories.find_members(name)
        return None if places is None else places + 1
