"""Product codes: an item is a few small numbers, and each of them names a piece of its vector that many items share.

RecJPQ (arXiv 2312.06165): item i has codes g_i1 … g_im, and its vector is the concatenation of the m sub-embeddings
ψ_j[g_ij], each dim / m wide. Codes are assigned once (`models/embeddings/assignment.py`) and stay; sub-embeddings are
learned with the model. Codes come from the log, or, which measured better (models/LOG.md), from a full table that is
trained first: its vectors are quantised piece by piece, and the model goes on learning from there. Scores never need a
table of items: m × codebook partial products, and then a sum of m of them per item.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.batch import PADDING, History, SequenceBatch
from models.catalogue import Catalogue
from models.embeddings.assignment import ASSIGNMENTS, assign_codes, product_codes
from models.embeddings.base import ItemEmbedding

TRAINED = "trained"
"""The assignment that waits for vectors."""
ITEMS_PER_PIECE = 18


class CodesEmbedding(ItemEmbedding):
    """`splits` codes (m) per item, each below `codebook`; at most 256, so that a code is a byte.

    `codes` (num_items + 1, m) uint8, `pieces` (m · codebook, dim / m): row j · codebook + c is ψ_j[c].
    """

    codes: Tensor
    _starts: Tensor

    def __init__(
        self, num_items: int, dim: int, *, splits: int = 16, codebook: int = 256, assignment: str = TRAINED
    ) -> None:
        super().__init__()
        if dim % splits:
            raise ValueError(f"dim {dim} does not split into {splits} codes")
        if not 1 <= codebook <= 256:
            raise ValueError(f"codebook must be from 1 to 256, not {codebook}")
        if assignment not in (TRAINED, *ASSIGNMENTS):
            names = ", ".join((TRAINED, *ASSIGNMENTS))
            raise ValueError(f"no assignment of codes is called {assignment!r}; there are {names}")
        self.num_items, self.dim = num_items, dim
        self.splits, self.codebook, self.assignment = splits, codebook, assignment
        self.from_full = assignment == TRAINED
        self.pieces = nn.Embedding(splits * codebook, dim // splits)
        self.register_buffer("codes", torch.zeros(num_items + 1, splits, dtype=torch.uint8))
        self.register_buffer("_starts", torch.arange(splits) * codebook, persistent=False)
        self._set_codes(assign_codes("digits", num_items, [], splits, codebook))

    @classmethod
    def options_for(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without a codebook given, one that is not larger than the codes it saves: pieces are shared by 18 items."""
        fitting = min(256, max(16, catalogue.num_items // ITEMS_PER_PIECE), catalogue.num_items)
        return {"codebook": fitting, **options}

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:
        if self.assignment in ASSIGNMENTS:
            self._set_codes(assign_codes(self.assignment, catalogue.num_items, histories, self.splits, self.codebook))

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        # An item that is asked for often deserves a nearer piece; by the root, so that rare items keep some say.
        weights = torch.from_numpy(catalogue.counts).float().clamp_min(1).sqrt()
        codes, pieces = product_codes(vectors[1:].detach(), weights, self.splits, self.codebook)
        self._set_codes(codes)
        with torch.no_grad():
            self.pieces.weight.copy_(pieces)

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self.table(batch.items)

    def table(self, rows: Tensor | None = None) -> Tensor:
        codes = self.codes if rows is None else self.codes[rows]
        vectors = self.pieces(codes.long() + self._starts).flatten(-2)
        first = torch.arange(self.num_items + 1, device=codes.device) if rows is None else rows
        padded: Tensor = vectors.masked_fill((first == PADDING)[..., None], 0.0)
        return padded

    def scores(self, hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, self.splits, self.dim // self.splits)
        pieces = self.pieces.weight.unflatten(0, (self.splits, self.codebook))
        partial = torch.einsum("nmd,mcd->mnc", flat, pieces)
        scores = partial.new_zeros(len(flat), self.num_items + 1)
        for products, codes in zip(partial, self.codes.long().T, strict=True):
            scores += products[:, codes]
        scores[:, PADDING] = 0.0
        return scores.unflatten(0, hidden.shape[:-1]) if hidden.ndim > 1 else scores[0]

    def _set_codes(self, codes: Tensor) -> None:
        """`codes` (num_items, m); row 0, the padding, keeps zeros."""
        self.codes[1:] = codes.to(torch.uint8)


def codes_of_new_item(codes: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
    """Codes for an item that was not trained: in each place the code that its neighbours' weights favour most.

    `codes` (V + 1, m) of the known items, `neighbours` (K,) their indices, such as items seen together with the new
    one or items of its category, `weights` (K,) ≥ 0 → (m,) uint8. Equal weights give the lowest code.
    """
    votes = F.one_hot(codes[neighbours].long(), 256).to(weights.dtype)  # (K, m, 256)
    return (votes * weights[:, None, None]).sum(0).argmax(-1).to(torch.uint8)
