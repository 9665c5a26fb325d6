"""Product-quantized embedding: an item has one code per subspace, and each code selects a vector that many items share.

RecJPQ (arXiv 2312.06165): item i has codes g_i1 … g_im, and its vector is the concatenation of the m sub-embeddings
ψ_j[g_ij], each dim / m wide. Codes are assigned once (`models/embeddings/assignment.py`) and fixed; the codebooks are
learned with the model. Codes come from the log or, which is more accurate (models/LOG.md), from a full table that is
trained first: its vectors are product-quantized, and training continues from there. 256 codes for two features lose
0.3 to 1.5 % of the NDCG@10 of a full table, pairs of 16 levels 1 to 3 %, 64 codes 2 to 6 %. Scoring needs no item
table: m × codebook size partial products, then a sum of m of them per item.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.batch import PADDING, History, SequenceBatch
from models.catalogue.catalogue import Catalogue
from models.embeddings import packing
from models.embeddings.assignment import ASSIGNMENTS, assign_codes, compute_digits, quantize_vectors
from models.embeddings.base import ItemEmbedding, Neighbours
from models.embeddings.code_refinement import refine_codes
from models.embeddings.codebooks import Codebooks, FreeCodebooks, ScalarCodebooks

TRAINED = "trained"
"""The assignment that quantizes the vectors of a trained full table."""
BYTE_CODEBOOKS: Sequence[tuple[int, Mapping[str, int]]] = ((11_000, {"codebook": 256}), (700, {"levels": 16}))
"""Least catalogue for a default codebook of more than 64; its codes take a byte instead of six bits."""
LARGEST_BYTE_CATALOGUE = 65_535
FEW_CODES_EXPONENT, MANY_CODES_EXPONENT = 1.0, 0.5
"""Exponents of the counts that weigh quantization errors: up to 64 codes without refinement, and otherwise."""
MAX_REFINED_ITEMS = 1_000_000
"""Largest catalogue whose codes are refined: the time grows with the items."""
MAX_BYTE_CODES = 256
MAX_LEVELS = 16
LANES = 8
CHUNK = 1 << 18


class CodesEmbedding(ItemEmbedding):
    """`splits` codes (m) per item, each below `codebook`: a byte each, or six bits up to a codebook of 64.

    `levels` instead of `codebook` gives each feature so many values, and each pair of features their combinations.
    `kept` (num_items + 1, bytes) uint8 holds the codes, packed if `is_packed`; `pieces.weight` (m · codebook, dim / m)
    are the codebooks, ψ_j[c] in row j · codebook + c. The names are those of the artifact format.
    """

    kept: Tensor
    _starts: Tensor

    def __init__(
        self,
        num_items: int,
        dim: int,
        *,
        splits: int | None = None,
        codebook: int | None = None,
        levels: int | None = None,
        assignment: str = TRAINED,
    ) -> None:
        super().__init__()
        splits = max(1, dim // 2) if splits is None else splits
        if dim % splits:
            raise ValueError(f"splits must divide dim {dim} (got {splits})")
        if levels is None:
            codebook = 64 if codebook is None else codebook
        else:
            if codebook is not None or 2 * splits != dim:
                raise ValueError("levels exclude codebook, and splits other than dim / 2; leave these options out")
            if not 1 <= levels <= MAX_LEVELS:
                raise ValueError(f"levels must be from 1 to {MAX_LEVELS} (got {levels})")
            codebook = levels**2
        if not 1 <= codebook <= MAX_BYTE_CODES:
            raise ValueError(f"codebook must be from 1 to {MAX_BYTE_CODES} (got {codebook})")
        if assignment not in (TRAINED, *ASSIGNMENTS):
            raise ValueError(f"assignment must be one of {', '.join((TRAINED, *ASSIGNMENTS))} (got {assignment!r})")
        self.num_items, self.dim = num_items, dim
        self.num_subspaces, self.codebook_size, self.assignment = splits, codebook, assignment
        self.starts_from_full_table = assignment == TRAINED
        self.is_packed = codebook <= packing.MAX_CODES and splits % packing.GROUP_CODES == 0
        self.pieces: Codebooks
        if levels is None:
            self.pieces = FreeCodebooks(splits, codebook, dim // splits)
        else:
            self.pieces = ScalarCodebooks(dim, levels)
        width = splits // packing.GROUP_CODES * packing.GROUP_BYTES if self.is_packed else splits
        self.register_buffer("kept", torch.zeros(num_items + 1, width, dtype=torch.uint8))
        self.register_buffer("_starts", torch.arange(splits) * codebook, persistent=False)

    @classmethod
    def complete_options(cls, catalogue: Catalogue, options: Mapping[str, Any]) -> Mapping[str, Any]:
        return complete_codebook(catalogue.num_items, options)

    def reset_special(self) -> None:
        """Assign codes that are different for all items."""
        for items in torch.arange(self.num_items).split(CHUNK):  # int64 codes are ten times as large as packed ones
            digits = compute_digits(items, self.num_items, self.num_subspaces, self.codebook_size)
            self.set_codes(digits, int(items[0]))

    def fit(self, catalogue: Catalogue, histories: Sequence[History]) -> None:
        if self.assignment in ASSIGNMENTS:
            size = self.num_subspaces, self.codebook_size
            self.set_codes(assign_codes(self.assignment, catalogue.num_items, histories, *size))

    def approximate(self, vectors: Tensor, catalogue: Catalogue) -> None:
        sizes = self.pieces.num_parts, self.pieces.part_size
        self._store(*quantize_vectors(vectors[1:].detach(), self._weigh_errors(catalogue), *sizes))

    @property
    def is_refinable(self) -> bool:
        return self.codebook_size < self.num_items <= MAX_REFINED_ITEMS

    def refine(self, vectors: Tensor, catalogue: Catalogue, moments: Tensor) -> None:
        codes, values = self.pieces.split(self.codes()[1:]), self.pieces.get_values()
        weights = self._weigh_errors(catalogue)
        self._store(*refine_codes(vectors[1:].detach().float(), weights, codes, values, moments))

    def _weigh_errors(self, catalogue: Catalogue) -> Tensor:
        """Give popular items smaller errors; with codes enough, the root leaves rare items more weight."""
        are_few = self.codebook_size <= packing.MAX_CODES and not self.is_refinable
        exponent = FEW_CODES_EXPONENT if are_few else MANY_CODES_EXPONENT
        return torch.from_numpy(catalogue.counts).float().clamp_min(1) ** exponent

    def _store(self, codes: Tensor, values: Tensor) -> None:
        self.set_codes(self.pieces.join(codes))
        self.pieces.set_values(values)

    def compute_new_item_rows(self, neighbours: Sequence[Neighbours]) -> dict[str, Tensor]:
        item_codes = self.codes()
        codes = torch.stack([vote_codes(item_codes, indices, weights) for indices, weights in neighbours])
        return {"kept": packing.pack(codes) if self.is_packed else codes.to(torch.uint8)}

    def codes(self, rows: Tensor | None = None) -> Tensor:
        """The codes of `rows` (…) → (…, m) int64; without rows, of the whole catalogue including padding."""
        return self._unpack(self.kept if rows is None else self.kept[rows])

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self.table(batch.items)

    def table(self, rows: Tensor | None = None) -> Tensor:
        vectors = self.pieces(self.codes(rows) + self._starts).flatten(-2)
        items = torch.arange(self.num_items + 1, device=vectors.device) if rows is None else rows
        padded: Tensor = vectors.masked_fill((items == PADDING)[..., None], 0.0)
        return padded

    def scores(self, hidden: Tensor) -> Tensor:
        flat = hidden.reshape(-1, self.num_subspaces, self.dim // self.num_subspaces)
        codebooks = self.pieces.weight.unflatten(0, (self.num_subspaces, self.codebook_size))
        products = torch.einsum("mcd,nmd->mcn", codebooks, flat).flatten(0, 1)  # (m · codebook, N)
        # An item's score is the sum of m rows, and rows of fewer than eight numbers are slower than rows of eight.
        rows = F.pad(products, (0, max(0, LANES - len(flat))))
        # Unpacked, the codes of a large catalogue are ten times as large as packed: one chunk at a time.
        chunks = (self._unpack(chunk) + self._starts for chunk in self.kept.split(CHUNK))
        sums = torch.cat([F.embedding_bag(chunk, rows, mode="sum")[:, : len(flat)] for chunk in chunks])
        sums = sums.index_fill(0, sums.new_tensor([PADDING], dtype=torch.int64), 0.0)
        return sums.T.contiguous().unflatten(0, hidden.shape[:-1]) if hidden.ndim > 1 else sums[:, 0]

    def check_buffers(self) -> None:
        """ValueError for a code that is not in the codebook."""
        if self.codebook_size == (packing.MAX_CODES if self.is_packed else MAX_BYTE_CODES):
            return  # all values are codes
        for stored_codes in self.kept.split(CHUNK):
            highest = int(self._unpack(stored_codes).max()) if stored_codes.numel() else 0
            if highest >= self.codebook_size:
                raise ValueError(f"kept holds code {highest} of a codebook with {self.codebook_size} codes")

    def _unpack(self, stored_codes: Tensor) -> Tensor:
        return packing.unpack(stored_codes) if self.is_packed else stored_codes.long()

    def set_codes(self, codes: Tensor, first: int = 0) -> None:
        """Store `codes` (n, m) of the items from zero-based position `first` on; row 0, the padding, stays zero."""
        for start in range(0, len(codes), CHUNK):
            chunk = codes[start : start + CHUNK]
            row = 1 + first + start
            self.kept[row : row + len(chunk)] = packing.pack(chunk) if self.is_packed else chunk.to(torch.uint8)


def complete_codebook(num_items: int, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add the most exact codebook with which an item takes at most a quarter of a float32 vector of width 64.

    Counted are its codes, its share of the codebooks and 25 bytes of a transition memory (33 in larger catalogues). A
    codebook is not larger than the catalogue, because more codes would belong to no item.
    """
    if options.get("levels") is None and options.get("codebook") is None:
        has_pairs = options.get("splits") is None  # levels are for pairs of features
        choices = BYTE_CODEBOOKS if num_items <= LARGEST_BYTE_CATALOGUE else ()
        fitting = (choice for least, choice in choices if num_items >= least and (has_pairs or "levels" not in choice))
        options = {**options, **next(fitting, {"codebook": 64})}
    if options.get("levels") is not None:
        return options
    return {**options, "codebook": min(options["codebook"], num_items)}


def vote_codes(codes: Tensor, neighbours: Tensor, weights: Tensor) -> Tensor:
    """Choose codes for an untrained item: in each subspace the code with the largest sum of neighbour weights.

    `codes` (V + 1, m) of the trained items, `neighbours` (K,) indices, such as of items seen together with the new one
    or of its category, `weights` (K,) ≥ 0 → (m,). Ties give the lowest code.
    """
    votes = F.one_hot(codes[neighbours].long(), 256).to(weights.dtype)  # (K, m, 256)
    return (votes * weights[:, None, None]).sum(0).argmax(-1)
