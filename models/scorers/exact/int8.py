"""Scans the catalogue in int8, and scores in float32 what can be among the k best. Exact: nothing else can be.

Each group of neighbouring items has an upper bound (int8_table.py). The groups with the highest bounds
are scored in float32; the k-th best score found is then a threshold that a group must reach to matter, and the groups
that do are scored too. A history for which too many groups matter goes to another exact scorer.
"""

from typing import Self

import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.heads.tied import TiedHead
from models.recommender import SequentialRecommender
from models.scorers.base import Scorer, TopK
from models.scorers.exact.blocked import WIDTH, BlockedScorer, stretches
from models.scorers.exact.codes import CodesScorer
from models.scorers.exact.grouped import best_of_groups, group_scores
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors, item_vectors

GROUP = 32
LARGEST = 127
ALIGNED = 4  # integers that are multiplied at once
ROUNDING = 1e-5
"""Of ‖q‖·‖x‖: more than float32 loses in a product of a few hundred terms."""
CHUNK = 1 << 14  # items that are quantised at once


class Int8Table:
    """`items` (groups · GROUP, width) int8; `scale`, `error` and `length` (groups,): max‖e‖ and max‖x̂‖ of a group."""

    def __init__(self, vectors: ItemVectors) -> None:
        self.groups = -(-(vectors.num_items + 1) // GROUP)
        width = vectors.width
        self._pad = -width % ALIGNED
        self.items = torch.zeros(self.groups * GROUP, width + self._pad, dtype=torch.int8, device=vectors.device)
        self.scale, self.error, self.length = torch.ones(3, self.groups, device=vectors.device).unbind()
        for first in range(0, self.groups * GROUP, CHUNK):
            self._quantise(vectors, first, min(first + CHUNK, self.groups * GROUP))

    @staticmethod
    def bytes_of(vectors: ItemVectors) -> int:
        """What a table of these vectors takes."""
        groups, width = -(-(vectors.num_items + 1) // GROUP), vectors.width + -vectors.width % ALIGNED
        return groups * (GROUP * width + 3 * 4)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.items, self.scale, self.error, self.length))

    def bounds(self, query: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, width) → (B, groups): no eligible item of the group scores higher; −inf where none is eligible."""
        query8, step = _to_int8(query, query.abs().amax(-1))
        lost = (query - query8 * step[:, None]).norm(dim=-1)
        length = query.norm(dim=-1)
        largest = self.largest(torch.nn.functional.pad(query8, (0, self._pad)), item_filter)
        spread = torch.stack((self.error + ROUNDING * self.length, self.length), dim=1)  # (groups, 2)
        slack = torch.stack((length, lost + ROUNDING * length)) / step  # (2, B)
        found = torch.addmm(largest * self.scale[:, None], spread, slack) * step
        return found.masked_fill_(largest == torch.iinfo(torch.int32).min, -torch.inf).T.contiguous()

    def largest(self, query8: Tensor, item_filter: ItemFilter) -> Tensor:
        """(B, width) int8 → (groups, B) int32: the largest product in each group, the smallest number if none counts.

        This is where the time goes, and all that another kernel would have to replace.
        """
        rows, transposed = len(query8), query8.T.contiguous()
        found = torch.empty(self.groups, rows, dtype=torch.int32, device=query8.device)
        cells = torch.empty(0, dtype=torch.int32, device=query8.device)
        for first, end in stretches(len(self.items), rows):
            if len(cells) != end - first:
                cells = torch.empty(end - first, rows, dtype=torch.int32, device=query8.device)
            torch._int_mm(self.items[first:end], transposed, out=cells)
            item_filter.mask(cells.T, first)
            torch.amax(cells.view(-1, GROUP, rows), 1, out=found[first // GROUP : end // GROUP])
        return found

    def _quantise(self, vectors: ItemVectors, first: int, end: int) -> None:
        """Row 0 and rows after the last item stay zero."""
        items = torch.arange(max(first, 1), min(end, vectors.num_items + 1), device=self.items.device)
        rows = vectors.rows(items)
        whole = rows.new_zeros(end - first, rows.shape[1])
        whole[items - first] = rows
        groups = slice(first // GROUP, end // GROUP)
        largest = whole.view(-1, GROUP * whole.shape[1]).abs().amax(-1)
        quantised, step = _to_int8(whole, largest.repeat_interleave(GROUP))
        back = quantised * step[:, None]
        self.items[first:end, : whole.shape[1]] = quantised
        self.scale[groups] = step[::GROUP]
        self.error[groups] = (whole - back).norm(dim=-1).view(-1, GROUP).amax(-1)
        self.length[groups] = back.norm(dim=-1).view(-1, GROUP).amax(-1)


def multiplies_exactly(device: torch.device) -> bool:
    """Whether the product of int8 matrices is what it should be: some processors saturate, some devices have none."""
    extreme = torch.tensor([LARGEST, -LARGEST], dtype=torch.int8, device=device).repeat(GROUP, 32)
    try:
        found = torch._int_mm(extreme, extreme[:1].T.contiguous())
    except (RuntimeError, NotImplementedError):
        return False
    return bool((found == LARGEST * LARGEST * extreme.shape[1]).all())


def _to_int8(rows: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """(R, width) by (R,) largest absolute values → int8 and the (R,) steps that bring them back."""
    step = largest.clamp_min(1e-30) / LARGEST
    return (rows / step[:, None]).round().to(torch.int8), step


SPARE = 2  # groups scored at once beyond k
MOST = 128  # groups that may matter beyond twice the first ones


class Int8Scorer(Scorer):
    name = "int8"
    width = WIDTH

    def __init__(self, vectors: ItemVectors, otherwise: Scorer) -> None:
        self._vectors = vectors
        self._otherwise = otherwise
        self.table = Int8Table(vectors)
        self.nbytes = self.table.nbytes

    @classmethod
    @torch.inference_mode()
    def for_model(cls, model: SequentialRecommender) -> Self | None:
        vectors = item_vectors(model)
        if vectors is None or not multiplies_exactly(vectors.device):
            return None
        if isinstance(model.head, TiedHead) and isinstance(model.embedding, CodesEmbedding):
            return cls(vectors, CodesScorer(model.embedding, copy=False))
        return cls(vectors, BlockedScorer.for_model(model) or PlainScorer.for_model(model))

    @classmethod
    def estimate_extra_bytes(cls, model: SequentialRecommender) -> int:
        vectors = item_vectors(model)
        return 0 if vectors is None else Int8Table.bytes_of(vectors)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        first = k + SPARE
        most = min(self.table.groups, 2 * first + MOST)
        if k * GROUP > self._vectors.num_items:  # every group would be scored
            return self._otherwise.find_top_k(hidden, k, item_filter)
        query = self._vectors.query(hidden.float())
        bounds, groups = self.table.bounds(query, item_filter).topk(most)
        scores = query.new_full((len(query), most, GROUP), -torch.inf)
        self._score(scores, query, groups, bounds.new_ones(bounds.shape, dtype=torch.bool)[:, :first], item_filter)
        threshold = scores[:, :first].flatten(1).topk(k).values[:, -1:]
        matter = (bounds >= threshold) & (bounds > -torch.inf)  # bounds fall, so these stand first
        is_settled = ~matter[:, -1] if most < self.table.groups else matter.new_ones(len(query))
        matter &= is_settled[:, None]
        used = max(first, int(matter.sum(-1).amax()))
        matter[:, :first] = False  # done
        self._score(scores, query, groups, matter, item_filter)
        found = best_of_groups(scores[:, :used], groups[:, :used], k)
        if not is_settled.all():
            rows = (~is_settled).nonzero().squeeze(-1)
            exact = self._otherwise.find_top_k(hidden[rows], k, item_filter.of(rows.tolist()))
            found.indices[rows], found.values[rows] = exact
        return found

    def _score(self, scores: Tensor, query: Tensor, groups: Tensor, wanted: Tensor, item_filter: ItemFilter) -> None:
        """Fill lines of `scores` (B, most, GROUP) where `wanted` (B, ≤ most) says so."""
        rows, places = wanted.nonzero(as_tuple=True)
        if not len(rows):
            return
        scores[rows, places] = group_scores(self._vectors, query, rows, groups[rows, places], GROUP, item_filter)
