"""Scans the catalogue in int8 and scores in float32 only the items that can be in the top k. Exact.

Item vectors are quantized to a quarter of their bytes, in groups of neighbors with one scale each, so that the largest
product of a group is found among integers. The catalogue is ordered by popularity, and items of like popularity have
vectors of like length, so one scale loses little. With x = x̂ + e for an item and q = q̂ + d for a query,

    q·x = q̂·x̂ + q·e + d·x̂ ≤ q̂·x̂ + ‖q‖·max‖e‖ + ‖d‖·max‖x̂‖      (maxima over the group)

is an upper bound for each group. The groups with the highest bounds are scored in float32; the k-th best score is then
a threshold, and the remaining groups whose bound reaches it are scored too. A history for which too many groups reach
the threshold goes to another exact scorer.
"""

from typing import Self

import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.blocked import WIDTH, BlockedScorer, split_into_chunks
from models.scorers.exact.codes import CodesScorer, get_tied_codes
from models.scorers.exact.grouped import score_groups, select_from_groups
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, get_item_vectors

GROUP = 32
INT8_MAX = 127
ALIGNMENT = 4  # integers that one instruction multiplies
ROUNDING = 1e-5
"""Of ‖q‖·‖x‖: more than float32 loses in a product of a few hundred terms."""
QUANTIZE_ITEMS = 1 << 14  # items quantized at a time
SPARE_GROUPS = 2  # groups scored in the first pass beyond k
MAX_CANDIDATE_GROUPS = 128  # groups that may reach the threshold beyond twice the first pass


class Int8Scorer(Scorer):
    """Prunes groups of items by upper bounds from an int8 table."""

    name = "int8"
    width = WIDTH

    def __init__(self, vectors: ItemVectors, fallback: Scorer) -> None:
        self._vectors = vectors
        self._fallback = fallback
        self.table = Int8Table(vectors)
        self.nbytes = self.table.nbytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = get_item_vectors(model)
        if vectors is None or not has_exact_int8_matmul(vectors.device):
            return None
        if (codes := get_tied_codes(model)) is not None:
            return cls(vectors, CodesScorer(codes, copy=False))
        return cls(vectors, BlockedScorer.for_model(model) or PlainScorer.for_model(model))

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int | None:
        vectors = get_item_vectors(model)
        return None if vectors is None else Int8Table.compute_bytes(vectors)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        first = k + SPARE_GROUPS
        most = min(self.table.groups, 2 * first + MAX_CANDIDATE_GROUPS)
        if k * GROUP > self._vectors.num_items:  # every group would be scored
            return self._fallback.find_top_k(hidden, k, item_filter)
        query = self._vectors.to_query(hidden.float())
        bounds, groups = self.table.compute_bounds(query, item_filter).topk(most)
        scores = query.new_full((len(query), most, GROUP), -torch.inf)
        is_first_pass = bounds.new_ones(bounds.shape, dtype=torch.bool)[:, :first]
        self._score(scores, query, groups, is_first_pass, item_filter)
        threshold = scores[:, :first].flatten(1).topk(k).values[:, -1:]
        is_candidate = (bounds >= threshold) & (bounds > -torch.inf)  # bounds fall, so candidates come first
        is_settled = ~is_candidate[:, -1] if most < self.table.groups else is_candidate.new_ones(len(query))
        is_candidate &= is_settled[:, None]
        num_scored = max(first, int(is_candidate.sum(-1).amax()))
        is_candidate[:, :first] = False  # scored already
        self._score(scores, query, groups, is_candidate, item_filter)
        top = select_from_groups(scores[:, :num_scored], groups[:, :num_scored], k)
        if not is_settled.all():
            rows = (~is_settled).nonzero().squeeze(-1)
            exact = self._fallback.find_top_k(hidden[rows], k, item_filter.select_rows(rows.tolist()))
            top.indices[rows], top.values[rows] = exact
        return top

    def _score(self, scores: Tensor, query: Tensor, groups: Tensor, selected: Tensor, item_filter: ItemFilter) -> None:
        """Fill the lines of `scores` (B, most, GROUP) that the mask `selected` (B, ≤ most) selects."""
        rows, columns = selected.nonzero(as_tuple=True)
        if not len(rows):
            return
        scores[rows, columns] = score_groups(self._vectors, query, rows, groups[rows, columns], GROUP, item_filter)


class Int8Table:
    """Quantized item vectors with the error bounds of each group.

    `items` (groups · GROUP, width) int8; `scale`, `error` and `length` (groups,): max‖e‖ and max‖x̂‖ of a group.
    """

    def __init__(self, vectors: ItemVectors) -> None:
        self.groups = -(-(vectors.num_items + 1) // GROUP)
        width = vectors.width
        self._pad = -width % ALIGNMENT
        self.items = torch.zeros(self.groups * GROUP, width + self._pad, dtype=torch.int8, device=vectors.device)
        self.scale, self.error, self.length = torch.ones(3, self.groups, device=vectors.device).unbind()
        for first in range(0, self.groups * GROUP, QUANTIZE_ITEMS):
            self._quantize(vectors, first, min(first + QUANTIZE_ITEMS, self.groups * GROUP))

    @staticmethod
    def compute_bytes(vectors: ItemVectors) -> int:
        """Compute the size of a table without building it."""
        groups, width = -(-(vectors.num_items + 1) // GROUP), vectors.width + -vectors.width % ALIGNMENT
        return groups * (GROUP * width + 3 * 4)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.items, self.scale, self.error, self.length))

    def compute_bounds(self, query: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, width) → (B, groups) upper bounds on the scores of eligible items; −inf where none is eligible."""
        query8, step = _quantize_rows(query, query.abs().amax(-1))
        query_error = (query - query8 * step[:, None]).norm(dim=-1)
        length = query.norm(dim=-1)
        maxima = self._find_group_maxima(torch.nn.functional.pad(query8, (0, self._pad)), item_filter)
        spread = torch.stack((self.error + ROUNDING * self.length, self.length), dim=1)  # (groups, 2)
        slack = torch.stack((length, query_error + ROUNDING * length)) / step  # (2, B)
        bounds = torch.addmm(maxima * self.scale[:, None], spread, slack) * step
        return bounds.masked_fill_(maxima == torch.iinfo(torch.int32).min, -torch.inf).T.contiguous()

    def _find_group_maxima(self, query8: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, width) int8 → (groups, B) int32 largest eligible product of each group, the int32 minimum for none.

        Nearly all of the time is spent here; a faster kernel would have to replace only this method.
        """
        rows, transposed = len(query8), query8.T.contiguous()
        maxima = torch.empty(self.groups, rows, dtype=torch.int32, device=query8.device)
        products = torch.empty(0, dtype=torch.int32, device=query8.device)
        for first, end in split_into_chunks(len(self.items), rows):
            if len(products) != end - first:
                products = torch.empty(end - first, rows, dtype=torch.int32, device=query8.device)
            torch._int_mm(self.items[first:end], transposed, out=products)
            item_filter.mask(products.T, first)
            torch.amax(products.view(-1, GROUP, rows), 1, out=maxima[first // GROUP : end // GROUP])
        return maxima

    def _quantize(self, vectors: ItemVectors, first: int, end: int) -> None:
        """Fill rows [first, end); the padding row and rows past the last item stay zero."""
        items = torch.arange(max(first, 1), min(end, vectors.num_items + 1), device=self.items.device)
        rows = vectors.get_rows(items)
        exact = rows.new_zeros(end - first, rows.shape[1])
        exact[items - first] = rows
        groups = slice(first // GROUP, end // GROUP)
        largest = exact.view(-1, GROUP * exact.shape[1]).abs().amax(-1)
        quantized, step = _quantize_rows(exact, largest.repeat_interleave(GROUP))
        restored = quantized * step[:, None]
        self.items[first:end, : exact.shape[1]] = quantized
        self.scale[groups] = step[::GROUP]
        self.error[groups] = (exact - restored).norm(dim=-1).view(-1, GROUP).amax(-1)
        self.length[groups] = restored.norm(dim=-1).view(-1, GROUP).amax(-1)


def has_exact_int8_matmul(device: torch.device) -> bool:
    """Whether int8 matrix products are exact: some processors saturate, some devices do not support them."""
    extreme = torch.tensor([INT8_MAX, -INT8_MAX], dtype=torch.int8, device=device).repeat(GROUP, 32)
    try:
        products = torch._int_mm(extreme, extreme[:1].T.contiguous())
    except (RuntimeError, NotImplementedError):
        return False
    return bool((products == INT8_MAX * INT8_MAX * extreme.shape[1]).all())


def _quantize_rows(rows: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize (R, width) by (R,) largest absolute values → int8, and the (R,) steps that restore them."""
    step = largest.clamp_min(1e-30) / INT8_MAX
    return (rows / step[:, None]).round().to(torch.int8), step
