"""As `grouped`, with the maxima of all groups from one Triton kernel that reads every item once.

Chosen only by measurement at load, and only where the kernel could be compiled and finds what torch finds.
"""

import logging
from typing import Self

import torch
from torch import Tensor

from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.chunked_maxima import GROUP, ChunkedMaxima
from models.scorers.exact.groups import best_by_maxima
from models.scorers.exact.triton_maxima import TritonMaxima
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, item_vectors
from models.triton.group_maxima import FEW, GroupMaxima, has_triton, knows

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
