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
from models.catalogue.catalogue import Catalogue
from models.embeddings import packing
from models.embeddings.assignment import ASSIGNMENTS, assign_codes, compute_digits, quantize_vectors
from models.embeddings.base import ItemEmbedding, Neighbours

TRAINED = "trained"
"""The assignment that waits for vectors."""
LANES = 8
CHUNK = 1 << 18


class CodesEmbedding(ItemEmbedding):
    """`num_subspaces` codes (m) per item, each below `codebook_size`: a byte each, or six bits up to a codebook of 64.

    `kept` (num_items + 1, bytes) uint8 holds the codes; `pieces` (m · codebook, dim / m) has ψ_j[c] in row
    j · codebook + c.
    """

    kept: Tensor
    _starts: Tensor

    def __init__(
        self, num_items: int, dim: int, *, splits: int | None = None, codebook: int = 64, assignment: str = TRAINED
    ) -> None:
        super().__init__()
        splits = max(1, dim // 2) if splits is None else splits
        if dim % splits:
            raise ValueError(f"dim {dim} does not split into {splits} codes")
        if not 1 <= codebook <= 256:
            raise ValueError(f"codebook must be from 1 to 256, not {codebook}")
        if assignment not in (TRAINED, *ASSIGNMENTS):
            names = ", ".join((TRAINED, *ASSIGNMENTS))
            raise ValueError(f"no assignment of codes is called {assignment!r}; there are {names}")
        self.num_items, self.dim = num_items, dim
        self.num_subspaces, self.codebook_size, self.assignment = splits, codebook, assignment
        self.starts_from_full_table = assignment == TRAINED
        self.is_packed = codebook <= packing.LARGEST and splits % packing.CODES == 0
        self.pieces = nn.Embedding(splits * codebook, dim // splits)
        width = splits // packing.CODES * packing.BYTES if self.is_packed else splits
        self.register_buffer("kept", torch.zeros(num_items + 1, width, dtype=torch.uint8))
        self.register_buffer("_starts", torch.arange(splits) * codebook, persistent=False)

    @classmethod
    def complete_options(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """A codebook larger than the catalogue would hold pieces of no item."""
        return {**options, "codebook": min(options.get("codebook", 64), catalogue.num_items)}

    def reset_special(self) -> None:
        """Codes that tell all items apart."""
        for items in torch.arange(self.num_items).split(CHUNK):  # codes as int64 are ten times what is kept of them
            self._keep(compute_digits(items, self.num_items, self.num_subspaces, self.codebook_size), int(items[0]))

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:
        if self.assignment in ASSIGNMENTS:
            self._keep(
                assign_codes(self.assignment, catalogue.num_items, histories, self.num_subspaces, self.codebook_size)
            )

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        # An item that is asked for often deserves a nearer piece; by the root, so that rare items keep some say.
        weights = torch.from_numpy(catalogue.counts).float().clamp_min(1).sqrt()
        codes, pieces = quantize_vectors(vectors[1:].detach(), weights, self.num_subspaces, self.codebook_size)
        self._keep(codes)
        with torch.no_grad():
            self.pieces.weight.copy_(pieces)

    def compute_new_item_rows(self, neighbours: Sequence[Neighbours]) -> dict[str, Tensor]:
        known = self.codes()
        voted = torch.stack([vote_codes(known, near, weights) for near, weights in neighbours])
        return {"kept": packing.pack(voted) if self.is_packed else voted.to(torch.uint8)}

    def codes(self, rows: Tensor | None = None) -> Tensor:
        """The codes of `rows` (…) → (…, m) int64; of everything, padding included, without rows."""
        return self._unpacked(self.kept if rows is None else self.kept[rows])

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self.table(batch.items)

    def table(self, rows: Tensor | None = None) -> Tensor:
        vectors = self.pieces(self.codes(rows) + self._starts).flatten(-2)
        of = torch.arange(self.num_items + 1, device=vectors.device) if rows is None else rows
        padded: Tensor = vectors.masked_fill((of == PADDING)[..., None], 0.0)
        return padded

    def scores(self, hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, self.num_subspaces, self.dim // self.num_subspaces)
        pieces = self.pieces.weight.unflatten(0, (self.num_subspaces, self.codebook_size))
        products = torch.einsum("mcd,nmd->mcn", pieces, flat).flatten(0, 1)  # (m · codebook, N)
        # An item's score is the sum of m rows, and rows of fewer than eight numbers take longer than rows of eight.
        rows = F.pad(products, (0, max(0, LANES - len(flat))))
        # Unpacked, the codes of a large catalogue are ten times what is kept of them: one part at a time.
        parts = (self._unpacked(kept) + self._starts for kept in self.kept.split(CHUNK))
        sums = torch.cat([F.embedding_bag(part, rows, mode="sum")[:, : len(flat)] for part in parts])
        sums = sums.index_fill(0, sums.new_tensor([PADDING], dtype=torch.int64), 0.0)
        return sums.T.contiguous().unflatten(0, hidden.shape[:-1]) if hidden.ndim > 1 else sums[:, 0]

    def _unpacked(self, kept: Tensor) -> Tensor:
        return packing.unpack(kept) if self.is_packed else kept.long()

    def _keep(self, codes: Tensor, first: int = 0) -> None:
        """`codes` (n, m) of the items from place `first` on; row 0, the padding, keeps zeros."""
        for place in range(0, len(codes), CHUNK):
            some = codes[place : place + CHUNK]
            begin = 1 + first + place
            self.kept[begin : begin + len(some)] = packing.pack(some) if self.is_packed else some.to(torch.uint8)


def vote_codes(codes: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
    """Codes for an item that was not trained: in each place the code that its neighbours' weights favour most.

    `codes` (V + 1, m) of the known items, `neighbours` (K,) their indices, such as items seen together with the new
    one or items of its category, `weights` (K,) ≥ 0 → (m,). Equal weights give the lowest code.
    """
    votes = F.one_hot(codes[neighbours].long(), 256).to(weights.dtype)  # (K, m, 256)
    return (votes * weights[:, None, None]).sum(0).argmax(-1)
