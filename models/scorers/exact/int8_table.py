"""Item vectors in a quarter of their bytes, and how far a score by them can be from the true one.

Items are taken in groups of neighbours; a group has one scale, so that the largest product of a group is found among
integers. Popularity is the catalogue's order, and neighbours are about equally long, so little is lost by it.
With x = x̂ + e for an item and q = q̂ + d for a query,

    q·x = q̂·x̂ + q·e + d·x̂ ≤ q̂·x̂ + ‖q‖·max‖e‖ + ‖d‖·max‖x̂‖      (maxima over the group)

which is what `bounds` adds up. It knows nothing of the top k.
"""

import torch
from torch import Tensor

from models.scorers.exact.blocked import stretches
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors

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
