"""The `grouped` scorer with group maxima from one Triton kernel that reads every item once.

Selected only by measurement on load, and only where the kernel compiles and agrees with torch.
"""

import logging
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.grouped import GROUP, ChunkedMaxima, find_top_k_by_maxima, score_groups
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, get_item_vectors
from models.triton.group_maxima import FEW, GroupMaxima, has_triton, supports_embedding

TOLERANCE = 1e-4
"""Largest difference from torch's maxima, relative to the largest of them."""
MAX_RESCORED_GROUPS = 1 << 14
"""Groups scored again at a time: 268 MB of vectors at 64 features."""

log = logging.getLogger(__name__)


class TritonScorer(Scorer):
    """Finds group maxima with the Triton kernel."""

    name = "triton"

    def __init__(self, vectors: ItemVectors, kernel: GroupMaxima) -> None:
        self._vectors = vectors
        self._maxima = FilteredMaxima(vectors, kernel)
        self.width = kernel.groups

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        """Return None where Triton is missing, fails to compile (needs a C compiler) or is wrong, which is logged."""
        vectors = get_item_vectors(model)
        if vectors is None or vectors.device.type != "cuda" or not has_triton():
            return None
        if not isinstance(model.head, TiedHead) or not supports_embedding(model.embedding):
            return None
        try:
            kernel = GroupMaxima(model.embedding, GROUP)
            difference = compare_with_torch(vectors, kernel)
        except Exception as error:  # compiler errors have no common base class
            log.warning("Triton kernel disabled, scoring in torch: %s", error)
            return None
        if difference > TOLERANCE:
            log.warning("Triton kernel disabled, scoring in torch: it differs from torch by %.1e", difference)
            return None
        return cls(vectors, kernel)

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        return 0 if isinstance(model.head, TiedHead) and supports_embedding(model.embedding) else None

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        query = hidden.float()
        return find_top_k_by_maxima(self._vectors, query, self._maxima(query, item_filter), GROUP, k, item_filter)


class FilteredMaxima:
    """Applies filters to the kernel's maxima: the few groups with excluded items are scored again.

    A history with an allow mask goes to the torch reference, because the mask may affect every group.
    """

    def __init__(self, vectors: ItemVectors, kernel: GroupMaxima) -> None:
        self.groups = kernel.groups
        self._kernel, self._vectors = kernel, vectors
        self._reference = ChunkedMaxima(vectors)

    def __call__(self, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, dim) float32 → (B, groups); −inf for a group without an eligible item."""
        maxima = self._kernel(hidden)
        masked = set(item_filter.masked_rows)
        if masked:
            rows = sorted(masked)
            maxima[rows] = self._reference(hidden[rows], item_filter.select_rows(rows))
        for pair_rows, groups in self._find_affected_groups(item_filter, masked, hidden.device):
            scores = score_groups(self._vectors, hidden, pair_rows, groups, GROUP, item_filter)
            maxima[pair_rows, groups] = scores.amax(-1)
        return maxima

    def _find_affected_groups(
        self, item_filter: ItemFilter, masked: set[int], device: torch.device
    ) -> list[tuple[Tensor, Tensor]]:
        """Return unique pairs of row and group with an excluded item, `MAX_RESCORED_GROUPS` at a time."""
        pairs = [
            np.unique(items // GROUP) + row * self.groups
            for row, items in enumerate(item_filter.excluded or ())
            if row not in masked
        ]
        if not pairs:
            return []
        all_pairs = torch.from_numpy(np.concatenate(pairs)).to(device)
        parts = all_pairs.split(MAX_RESCORED_GROUPS)
        return [(part // self.groups, part % self.groups) for part in parts if len(part)]


def compare_with_torch(vectors: ItemVectors, kernel: GroupMaxima) -> float:
    """Compute the largest relative difference from torch's maxima.

    Runs both variants of the kernel, so that neither is compiled during a request.
    """
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(FEW + 1, vectors.width, generator=generator).to(vectors.device)
    expected = ChunkedMaxima(vectors)(query, ItemFilter(vectors.num_items))
    is_finite = expected > -torch.inf  # all but a group of padding alone
    largest = expected[is_finite].abs().max()
    worst = torch.zeros((), device=vectors.device)
    for rows in (1, FEW + 1):
        maxima = kernel(query[:rows])
        if not torch.equal(maxima > -torch.inf, is_finite[:rows]):
            return torch.inf
        worst = torch.maximum(worst, (maxima - expected[:rows])[is_finite[:rows]].abs().max())
    return float((worst / largest).nan_to_num(nan=torch.inf))
