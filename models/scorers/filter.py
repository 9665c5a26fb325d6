"""What may be answered, row by row: everything but what is denied, or only what a mask allows. Padding never.

It writes −inf, or the smallest number of a type, where an item may not be answered, into scores of all items, of a
stretch of them, or of blocks picked here and there. It knows nothing of how scores come about.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import PADDING

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class ItemFilter:
    """For B rows: `excluded` indices in any order, and `allow_masks` (num_items + 1,) masks, None for everything."""

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
        """Rows that have a mask."""
        return [row for row, mask in enumerate(self.allow_masks or ()) if mask is not None]

    def of(self, rows: Sequence[int]) -> "ItemFilter":
        """The same for some of the rows."""
        excluded, allow_masks = self.excluded, self.allow_masks
        return ItemFilter(
            self.num_items,
            None if excluded is None else [excluded[row] for row in rows],
            None if allow_masks is None else [allow_masks[row] for row in rows],
        )

    def mask(self, scores: Tensor, first: int = 0) -> None:
        """Strike out of (B, C), items `first` … `first` + C − 1, what may not be answered; items beyond the last too.

        `scores` may be a transposed view: then it is written into by columns.
        """
        lowest, end = _lowest(scores), first + scores.shape[1]
        for row in self.masked_rows:
            mask = self._masks[row].to(scores.device)[first:end]
            scores[row, : len(mask)].masked_fill_(~mask, lowest)
        items, rows = self._denied_by_item
        start, stop = np.searchsorted(self._denied_items, (first, end))
        if stop > start:
            places = (rows[start:stop].to(scores.device), items[start:stop].to(scores.device) - first)
            scores.index_put_(places, scores.new_tensor(lowest))
        if first <= PADDING < end:
            scores[:, PADDING - first] = lowest
        if end > self.num_items + 1:
            scores[:, self.num_items + 1 - first :] = lowest

    def mask_blocks(self, scores: Tensor, rows: Tensor, blocks: Tensor) -> None:
        """Strike out of (P, size): line p has the scores of row `rows[p]` for items from `blocks[p]` · size on."""
        size = scores.shape[1]
        items = blocks[:, None] * size + torch.arange(size, device=scores.device)
        scores.masked_fill_((items == PADDING) | (items > self.num_items), -torch.inf)
        for row in self.masked_rows:
            lines = (rows == row).nonzero().squeeze(-1)
            within = self._masks[row].to(scores.device)[items[lines].clamp_max(self.num_items)]
            scores[lines] = scores[lines].masked_fill(~within, -torch.inf)
        excluded, of = (part.to(scores.device) for part in self._denied_by_item)
        if len(excluded):
            per_row = -(
                -(self.num_items + 1) // size
            )  # a block of a row has one number, and denied items look theirs up
            lines_sorted, order = (rows * per_row + blocks).sort()
            wanted = of * per_row + excluded // size
            place = torch.searchsorted(lines_sorted, wanted).clamp_max(len(lines_sorted) - 1)
            found = lines_sorted[place] == wanted
            scores[order[place[found]], excluded[found] % size] = -torch.inf

    @cached_property
    def _masks(self) -> list[Tensor]:
        nothing = torch.empty(0, dtype=torch.bool)
        return [nothing if mask is None else torch.from_numpy(mask) for mask in self.allow_masks or ()]

    @cached_property
    def _denied_by_item(self) -> tuple[Tensor, Tensor]:
        """Items that are denied, rising, and the row of each."""
        excluded = self.excluded or ()
        items = np.concatenate([np.empty(0, dtype=np.int64), *excluded])
        rows = np.repeat(np.arange(len(excluded)), [len(indices) for indices in excluded])
        order = np.argsort(items, kind="stable")
        return torch.from_numpy(items[order]), torch.from_numpy(rows[order])

    @cached_property
    def _denied_items(self) -> Indices:
        found: Indices = self._denied_by_item[0].numpy()
        return found


def _lowest(scores: Tensor) -> float:
    return -torch.inf if scores.is_floating_point() else torch.iinfo(scores.dtype).min
