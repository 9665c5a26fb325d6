"""The largest eligible score in every group of items, chunk by chunk: the reference for whatever finds it faster.

For all heads whose scores are inner products. A chunk's scores are written and read once, the catalogue's never. It
knows nothing of the top k.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors

GROUP = 64
"""Items. Fewer make more maxima to search, more make more items to score again: k times as many."""
CELLS = 1 << 26
"""Scores that are held at once, 268 MB."""
MADE_ROWS = 1 << 18
"""Item vectors that are made at once where they do not lie in memory; codes on the way are a kilobyte for each."""


class ChunkedMaxima:
    def __init__(self, vectors: ItemVectors, cells: int = CELLS) -> None:
        self.groups = -(-(vectors.num_items + 1) // GROUP)
        self._vectors = vectors
        self._cells = cells

    def __call__(self, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, dim) float32 → (B, groups); −inf where no item of the group may be answered."""
        end, found = self._vectors.num_items + 1, []
        step = max(GROUP, self._cells // len(hidden) // GROUP * GROUP)
        if not self._vectors.is_stored:
            step = min(step, MADE_ROWS)
        for first in range(0, end, step):
            scores = self._scores(hidden, first, min(first + step, end))
            item_filter.mask(scores, first)
            padded = F.pad(scores, (0, -scores.shape[1] % GROUP), value=-torch.inf)
            found.append(padded.unflatten(1, (-1, GROUP)).amax(-1))
        return torch.cat(found, dim=1)

    def _scores(self, hidden: Tensor, first: int, end: int) -> Tensor:
        if self._vectors.is_stored:
            return self._vectors.scores(hidden, first, end)
        items = torch.arange(first, end, device=hidden.device)
        return F.linear(self._vectors.query(hidden), self._vectors.rows(items))
