"""As `grouped`, with the maxima of all groups from one Triton kernel that reads every item once.

Chosen only by measurement at load, and only where the kernel could be compiled and finds what torch finds.
"""

import logging
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.grouped import GROUP, ChunkedMaxima, best_by_maxima, group_scores
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, item_vectors
from models.triton.group_maxima import FEW, GroupMaxima, has_triton, knows

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


TOLERANCE = 1e-4
"""Largest difference from torch's maxima, relative to the largest of them."""

log = logging.getLogger(__name__)


class TritonScorer(Scorer):
    name = "triton"

    def __init__(self, vectors: ItemVectors, kernel: GroupMaxima) -> None:
        self._vectors = vectors
        self._maxima = TritonMaxima(vectors, kernel)
        self.width = kernel.groups

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """None also where Triton is not there, does not compile (it needs a C compiler), or is wrong: the log says."""
        vectors = item_vectors(model)
        if vectors is None or vectors.device.type != "cuda" or not has_triton():
            return None
        if not isinstance(model.head, TiedHead) or not knows(model.embedding):
            return None
        try:
            kernel = GroupMaxima(model.embedding, GROUP)
            difference = largest_difference(vectors, kernel)
        except Exception as error:  # a compiler's own errors have no common kind
            log.warning("items are scored without the Triton kernel: %s", error)
            return None
        if difference > TOLERANCE:
            log.warning("items are scored without the Triton kernel: it differs from torch by %.1e", difference)
            return None
        return cls(vectors, kernel)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        query = hidden.float()
        return best_by_maxima(self._vectors, query, self._maxima(query, item_filter), GROUP, k, item_filter)


def largest_difference(vectors: ItemVectors, kernel: GroupMaxima) -> float:
    """Between the kernel's maxima and torch's, relative; both ways of compiling it run, so that none does later."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(FEW + 1, vectors.width, generator=generator).to(vectors.device)
    expected = ChunkedMaxima(vectors)(query, ItemFilter(vectors.num_items))
    real = expected > -torch.inf  # all but a group of padding alone
    largest = expected[real].abs().max()
    worst = torch.zeros((), device=vectors.device)
    for rows in (1, FEW + 1):
        found = kernel(query[:rows])
        if not torch.equal(found > -torch.inf, real[:rows]):
            return torch.inf
        worst = torch.maximum(worst, (found - expected[:rows])[real[:rows]].abs().max())
    return float((worst / largest).nan_to_num(nan=torch.inf))
