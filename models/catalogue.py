"""The items a model knows, and the one order in which it counts them: index = popularity rank, from 1; 0 is padding.

The order is a decision of the model, not of the log: blocks of an adaptive embedding, negatives by popularity and
"ties in catalogue order" are plain integer comparisons because of it. It knows no file format and no network.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


class Catalogue:
    """`item_ids`, `counts`, `titles` and `categories` run in index order; position p holds index p + 1.

    Counts are events of the training part and must not rise; item ids must be unique.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        counts: NDArray[np.int64],
        titles: Sequence[str | None],
        categories: Sequence[Sequence[str]],
    ) -> None:
        if not len(item_ids) == len(counts) == len(titles) == len(categories):
            raise ValueError("a catalogue needs one count, title and category list per item")
        if not len(item_ids):
            raise ValueError("a catalogue needs at least one item")
        if np.any(np.diff(counts) > 0):
            raise ValueError("a catalogue is ordered by falling count")
        self.item_ids = list(item_ids)
        self.counts = counts
        self.titles = list(titles)
        self.categories = [tuple(names) for names in categories]
        self._index = {item_id: place for place, item_id in enumerate(self.item_ids, start=1)}
        if len(self._index) != len(self.item_ids):
            raise ValueError("an item id stands in the catalogue twice")

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._index

    def index_of(self, item_id: str) -> int | None:
        """1 to num_items, or None for an item that this catalogue does not have."""
        return self._index.get(item_id)

    def item_id(self, index: int) -> str:
        return self.item_ids[index - 1]

    def count(self, index: int) -> int:
        return int(self.counts[index - 1])

    def title(self, index: int) -> str | None:
        return self.titles[index - 1]

    def categories_of(self, index: int) -> tuple[str, ...]:
        return self.categories[index - 1]

    def in_category(self, name: str) -> NDArray[np.int64] | None:
        """Indices of its items, rising; None for a category that no item has."""
        return self._by_category.get(name)

    @cached_property
    def _by_category(self) -> dict[str, NDArray[np.int64]]:
        members: dict[str, list[int]] = {}
        for index, names in enumerate(self.categories, start=1):
            for name in dict.fromkeys(names):
                members.setdefault(name, []).append(index)
        return {name: np.array(indices, dtype=np.int64) for name, indices in members.items()}
