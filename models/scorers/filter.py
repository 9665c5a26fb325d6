"""Filters over catalogue items: excluded indices and allow masks per row, applied before the top k is taken.

A filter writes −inf (the lowest number of an integer type) into the scores of filtered items: scores of the whole
catalogue, of a range of it, or of single blocks. Padding is always filtered.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import PADDING

DENSE_SHARE = 0.5
"""An index, whose recall is measured without masks, serves masks that allow at least this share of the items."""

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class ItemFilter:
    """Filter of B rows: `excluded` indices in any order and `allow_masks` (num_items + 1,), None to allow all."""

    def __init__(
        self,
        num_items: int,
        excluded: Sequence[Indices] | None = None,
        allow_masks: Sequence[Mask | None] | None = None,
    ) -> None:
        self.num_items = num_items
        self.excluded = excluded
        self.allow_masks = allow_masks

    @property
    def max_excluded(self) -> int:
        return max(map(len, self.excluded or ()), default=0)

    @property
    def masked_rows(self) -> list[int]:
        """Rows that have an allow mask."""
        return [row for row, mask in enumerate(self.allow_masks or ()) if mask is not None]

    def find_sparse_rows(self, share: float = DENSE_SHARE) -> list[int]:
        """Find the rows whose mask allows less than `share` of the items."""
        counts: dict[int, int] = {}  # rows may share a mask
        for mask in self.allow_masks or ():
            if mask is not None and id(mask) not in counts:
                counts[id(mask)] = int(np.count_nonzero(mask))
        masks = enumerate(self.allow_masks or ())
        return [row for row, mask in masks if mask is not None and counts[id(mask)] < share * self.num_items]

    def select_rows(self, rows: Sequence[int]) -> "ItemFilter":
        excluded, allow_masks = self.excluded, self.allow_masks
        return ItemFilter(
            self.num_items,
            None if excluded is None else [excluded[row] for row in rows],
            None if allow_masks is None else [allow_masks[row] for row in rows],
        )

    def mask(self, scores: Tensor, first: int = 0) -> None:
        """Filter (B, C) scores of the items `first` … `first` + C − 1 in place, columns past the last item included.

        `scores` may be a transposed view, which is then written by columns.
        """
        lowest, end = _get_lowest(scores), first + scores.shape[1]
        for row in self.masked_rows:
            mask = self._get_mask(row, scores.device)[first:end]
            scores[row, : len(mask)].masked_fill_(~mask, lowest)
        items, rows = self._excluded_by_item
        start, stop = np.searchsorted(self._excluded_items, (first, end))
        if stop > start:
            cells = (rows[start:stop].to(scores.device), items[start:stop].to(scores.device) - first)
            scores.index_put_(cells, scores.new_tensor(lowest))
        if first <= PADDING < end:
            scores[:, PADDING - first] = lowest
        if end > self.num_items + 1:
            scores[:, self.num_items + 1 - first :] = lowest

    def mask_blocks(self, scores: Tensor, rows: Tensor, blocks: Tensor) -> None:
        """Filter (P, size) scores of single blocks in place.

        Line p has the scores of row `rows[p]` for the items from `blocks[p]` · size.
        """
        size = scores.shape[1]
        items = blocks[:, None] * size + torch.arange(size, device=scores.device)
        scores.masked_fill_((items == PADDING) | (items > self.num_items), -torch.inf)
        for row in self.masked_rows:
            lines = (rows == row).nonzero().squeeze(-1)
            is_allowed = self._get_mask(row, scores.device)[items[lines].clamp_max(self.num_items)]
            scores[lines] = scores[lines].masked_fill(~is_allowed, -torch.inf)
        excluded_items, excluded_rows = (part.to(scores.device) for part in self._excluded_by_item)
        if len(excluded_items):
            # Number all blocks of all rows, so that excluded items can look their lines up by binary search.
            blocks_per_row = -(-(self.num_items + 1) // size)
            line_numbers, order = (rows * blocks_per_row + blocks).sort()
            numbers = excluded_rows * blocks_per_row + excluded_items // size
            positions = torch.searchsorted(line_numbers, numbers).clamp_max(len(line_numbers) - 1)
            is_present = line_numbers[positions] == numbers
            scores[order[positions[is_present]], excluded_items[is_present] % size] = -torch.inf

    def find_eligible(self, items: Indices) -> Mask:
        """Return which of (B, C) items, one line per row, pass the filter."""
        is_eligible: Mask = items != PADDING
        for row in self.masked_rows:
            mask = (self.allow_masks or ())[row]
            if mask is not None:
                is_eligible[row] &= mask[items[row]]
        if len(self._excluded_items):
            rows = self._excluded_by_item[1].numpy()
            numbers = self._excluded_items * len(items) + rows  # rising, because equal items have rising rows
            candidates = items * len(items) + np.arange(len(items))[:, None]
            positions = np.searchsorted(numbers, candidates).clip(max=len(numbers) - 1)
            is_eligible &= numbers[positions] != candidates
        return is_eligible

    def _get_mask(self, row: int, device: torch.device) -> Tensor:
        """Return the mask of a row on a device, where rows that share a mask share the copy."""
        mask = (self.allow_masks or ())[row]
        assert mask is not None
        if id(mask) not in self._masks_on_device:
            self._masks_on_device[id(mask)] = torch.from_numpy(mask).to(device)
        return self._masks_on_device[id(mask)]

    @cached_property
    def _masks_on_device(self) -> dict[int, Tensor]:
        return {}

    @cached_property
    def _excluded_by_item(self) -> tuple[Tensor, Tensor]:
        """Excluded items of all rows in ascending order, and the row of each."""
        excluded = self.excluded or ()
        items = np.concatenate([np.empty(0, dtype=np.int64), *excluded])
        rows = np.repeat(np.arange(len(excluded)), [len(indices) for indices in excluded])
        order = np.argsort(items, kind="stable")
        return torch.from_numpy(items[order]), torch.from_numpy(rows[order])

    @cached_property
    def _excluded_items(self) -> Indices:
        items: Indices = self._excluded_by_item[0].numpy()
        return items


def _get_lowest(scores: Tensor) -> float:
    return -torch.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).min
