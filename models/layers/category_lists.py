"""Categories of each item, as one matrix of small integers that is stored with the weights."""

from collections import Counter

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.catalogue.catalogue import Catalogue

FILLER, NO_PREVIOUS, NO_CATEGORY = range(3)
"""Rows before the first category in tables of category vectors: unused, before the first item, without category."""

FIRST_CATEGORY = 3


def sort_categories_by_use(catalogue: Catalogue) -> list[str]:
    """Sort categories by descending number of items, ties alphabetically."""
    uses = Counter(name for names in catalogue.categories for name in set(names))
    return sorted(uses, key=lambda name: (-uses[name], name))


class CategoryLists(nn.Module):
    """`lists` (num_items + 1, max_categories) holds row numbers; the row of padding holds "no previous item"."""

    lists: Tensor

    def __init__(self, num_items: int, num_categories: int, max_categories: int) -> None:
        super().__init__()
        if num_categories < 0 or max_categories < 1:
            raise ValueError(
                f"num_categories must be at least 0, max_categories at least 1 (got {num_categories}, {max_categories})"
            )
        self.num_categories, self.max_categories = num_categories, max_categories
        self.num_rows = FIRST_CATEGORY + num_categories
        # The tables are small, so lists of 64-bit numbers would be the largest part of the model.
        dtypes = (torch.uint8, torch.int16, torch.int32)
        smallest = next(dtype for dtype in dtypes if self.num_rows - 1 <= torch.iinfo(dtype).max)
        lists = torch.full((num_items + 1, max_categories), FILLER, dtype=smallest)
        lists[0, 0] = NO_PREVIOUS
        lists[1:, 0] = NO_CATEGORY
        self.register_buffer("lists", lists)

    def fill(self, catalogue: Catalogue) -> None:
        """Fill in the categories of every item; if they do not all fit, those with the most items."""
        retained = sort_categories_by_use(catalogue)[: self.num_categories]
        numbers = {name: number for number, name in enumerate(retained, start=FIRST_CATEGORY)}
        for index, names in enumerate(catalogue.categories, start=1):
            item_numbers = sorted(numbers[name] for name in set(names) if name in numbers)[: self.max_categories]
            row = item_numbers or [NO_CATEGORY]
            self.lists[index] = FILLER
            self.lists[index, : len(row)] = torch.tensor(row, dtype=self.lists.dtype)

    def check_buffers(self) -> None:
        """ValueError for a category without a vector."""
        low, high = (int(bound) for bound in self.lists.aminmax())
        if low < 0 or high >= self.num_rows:
            raise ValueError(f"lists holds rows from {low} to {high} of a table with {self.num_rows} rows")

    def average_vectors(self, items: Tensor, vectors: Tensor) -> Tensor:
        """(…,) items and (num_rows, D) vectors → (…, D): mean of the vectors of each item's categories."""
        numbers = self.lists[items].long().flatten(0, -2)
        means: Tensor = F.embedding_bag(numbers, vectors, mode="mean", padding_idx=FILLER)
        return means.view(*items.shape, -1)
