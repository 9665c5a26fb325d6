"""The kernel's maxima made right for filters: groups with denied items are scored again, as they are few.

A history with a mask of what is allowed goes to the reference, as the mask may concern every group.
"""

import numpy as np
import torch
from torch import Tensor

from models.scorers.exact.chunked_maxima import GROUP, ChunkedMaxima
from models.scorers.exact.groups import group_scores
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors
from models.triton.group_maxima import GroupMaxima

AT_ONCE = 1 << 14
"""Groups that are scored again at once: 268 MB of vectors at 64 features."""


class TritonMaxima:
    def __init__(self, vectors: ItemVectors, kernel: GroupMaxima) -> None:
        self.groups = kernel.groups
        self._kernel, self._vectors = kernel, vectors
        self._reference = ChunkedMaxima(vectors)

    def __call__(self, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, dim) float32 → (B, groups); −inf where no item of the group may be answered."""
        found = self._kernel(hidden)
        masked = set(item_filter.masked_rows)
        if masked:
            rows = sorted(masked)
            found[rows] = self._reference(hidden[rows], item_filter.of(rows))
        for rows_of, groups in self._with_denied(item_filter, masked, hidden.device):
            again = group_scores(self._vectors, hidden, rows_of, groups, GROUP, item_filter)
            found[rows_of, groups] = again.amax(-1)
        return found

    def _with_denied(
        self, item_filter: ItemFilter, masked: set[int], device: torch.device
    ) -> list[tuple[Tensor, Tensor]]:
        """Pairs of row and group, each once, `AT_ONCE` at a time."""
        places = [
            np.unique(items // GROUP) + row * self.groups
            for row, items in enumerate(item_filter.excluded or ())
            if row not in masked
        ]
        if not places:
            return []
        every = torch.from_numpy(np.concatenate(places)).to(device)
        return [(part // self.groups, part % self.groups) for part in every.split(AT_ONCE) if len(part)]
