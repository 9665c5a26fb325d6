"""Which categories each item has, as one rectangle of small integers that is stored with the weights."""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.catalogue.catalogue import Catalogue

FILLER, NO_PREVIOUS, NO_CATEGORY = range(3)
"""Rows of every table of category vectors before the first category: no meaning, before the first item, no category."""

FIRST_CATEGORY = 3


def sort_categories_by_use(catalogue: Catalogue) -> list[str]:
    """Those with most items first, equals by name."""
    uses = Counter(name for names in catalogue.categories for name in set(names))
    return sorted(uses, key=lambda name: (-uses[name], name))


class CategoryLists(nn.Module):
    """`lists` (num_items + 1, max_categories) numbers of rows; what stands in the row of padding is "no previous"."""

    lists: Tensor

    def __init__(self, num_items: int, num_categories: int, max_categories: int) -> None:
        super().__init__()
        if num_categories < 0 or max_categories < 1:
            raise ValueError(f"there cannot be {num_categories} categories, {max_categories} at most for an item")
        self.num_categories, self.max_categories = num_categories, max_categories
        self.num_rows = FIRST_CATEGORY + num_categories
        # Beside tables this small, lists of 64-bit numbers would be the largest part of the model.
        fits = (kind for kind in (torch.uint8, torch.int16, torch.int32) if self.num_rows - 1 <= torch.iinfo(kind).max)
        lists = torch.full((num_items + 1, max_categories), FILLER, dtype=next(fits))
        lists[0, 0] = NO_PREVIOUS
        lists[1:, 0] = NO_CATEGORY
        self.register_buffer("lists", lists)

    def fill(self, catalogue: Catalogue) -> None:
        """Write down the categories of every item; where there is no room for all of them, those with most items."""
        kept = sort_categories_by_use(catalogue)[: self.num_categories]
        numbers = {name: number for number, name in enumerate(kept, start=FIRST_CATEGORY)}
        for index, names in enumerate(catalogue.categories, start=1):
            found = sorted(numbers[name] for name in set(names) if name in numbers)[: self.max_categories]
            row = found or [NO_CATEGORY]
            self.lists[index] = FILLER
            self.lists[index, : len(row)] = torch.tensor(row, dtype=self.lists.dtype)

    def average_vectors(self, items: Tensor, vectors: Tensor) -> Tensor:
        """(…,) items and (num_rows, D) vectors → (…, D): the mean of the vectors of each item's categories."""
        numbers = self.lists[items].long().flatten(0, -2)
        means: Tensor = F.embedding_bag(numbers, vectors, mode="mean", padding_idx=FILLER)
        return means.view(*items.shape, -1)
