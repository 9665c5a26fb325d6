"""Approximate scorer over IVF lists of six-bit product-quantization codes, scanned by native code.

The index holds only codes, in blocks; its file is mapped, so that all workers share one copy. Items of the probed lists
get their exact scores, however many are excluded. Histories whose mask allows few items, or whose lists hold too few
items, go to an exact scorer, so that k eligible items are returned, as by any other scorer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.batch import PADDING
from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.block_scanner import BLOCK_ITEMS, BlockScanner, pack_blocks
from models.native.library import load_library
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import (
    CHUNK_ITEMS,
    KMEANS_ITERATIONS,
    MIN_RECALL,
    SEED,
    calibrate_nprobe,
    choose_num_lists,
    sample_training_vectors,
)
from models.scorers.ann.ivf import import_faiss
from models.scorers.base import ApproximateScorer, IndexInfo, Scorer, TopK, split_rows
from models.scorers.exact.native_blocks import NativeBlocksScorer, get_six_bit_embedding
from models.scorers.exact.native_codes import NativeCodesScorer
from models.scorers.filter import Indices, ItemFilter
from models.scorers.vectors import ItemVectors

ARRAYS = ("centres", "radii", "starts", "items", "blocks")
RADIUS_WEIGHT = 0.25
"""Share of a list's radius in its rank: a fifth fewer items are read for the same recall than by centroids alone."""


@dataclass(frozen=True, slots=True)
class IvfPqIndex:
    """Lists of codes, of which a query reads `nprobe`; `recall` at 10, measured on `queries` hidden vectors.

    `centres` (lists, dim) and `radii` (lists,) float32: mean of a list's items and their mean distance from it.
    `starts` (lists + 1,) int64: the first block of each list. `items` (slots,) int32: the item in each slot, 0 for
    none. `blocks` (slots / 64, num_subspaces, 48) uint8: their codes.
    """

    kind: ClassVar[str] = "lists of codes"
    centres: Tensor
    radii: Tensor
    starts: Tensor
    items: Tensor
    blocks: Tensor
    nprobe: int
    recall: float
    queries: int

    def to_dict(self) -> IndexInfo:
        sizes = {"lists": len(self.centres), "probes": self.nprobe}
        return {"kind": self.kind, **sizes, "recall@10": self.recall, "queries": self.queries}

    def save(self, path: Path) -> None:
        save_file({name: getattr(self, name).contiguous() for name in ARRAYS}, path)

    @classmethod
    def load(cls, path: Path, info: IndexInfo) -> Self:
        """Map the file, which must not be changed in place while the index is in use.

        Raises KeyError or ValueError for a file or info of another kind.
        """
        try:
            arrays = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"it is not a safetensors file ({error})") from error
        nprobe, queries, recall = int(info["probes"]), int(info["queries"]), float(info["recall@10"])
        return cls(**{name: arrays[name] for name in ARRAYS}, nprobe=nprobe, recall=recall, queries=queries)


class IvfPqScorer(ApproximateScorer):
    """Scans the blocks of the lists nearest to a query."""

    name = "native lists"

    def __init__(self, embedding: CodesEmbedding, index: IvfPqIndex, scanner: BlockScanner, fallback: Scorer) -> None:
        """`scanner` reads the blocks of the index."""
        self._embedding, self._index, self._scanner, self._fallback = embedding, index, scanner, fallback
        self._centroids, self._radii = index.centres.T.contiguous(), index.radii * RADIUS_WEIGHT
        self.recall = index.recall
        self.nbytes = self._centroids.nbytes + self._radii.nbytes
        self.width = len(index.radii)

    @classmethod
    def from_index(cls, model: SequentialRecommender, index: IvfPqIndex, fallback: Scorer) -> Self | None:
        """Return None without the native library, and for a model without six-bit codes."""
        embedding, scanner = get_six_bit_embedding(model), open_scanner(model, index)
        return None if embedding is None or scanner is None else cls(embedding, index, scanner, fallback)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        return split_rows(
            item_filter.find_sparse_rows(), (self._fallback.find_top_k, self._search_lists), hidden, k, item_filter
        )

    def _search_lists(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        query = hidden.float()
        lookup_tables = self._embedding.pieces.compute_products(query)
        result = self._scanner.find_top_k(
            lookup_tables,
            k,
            lists=self._select_lists(query),
            excluded=item_filter.excluded,
            allow_masks=item_filter.allow_masks,
        )
        top = TopK(*map(torch.from_numpy, result))
        too_few = (top.indices[:, -1] == PADDING).nonzero().squeeze(-1).tolist()
        if too_few:
            exact = self._fallback.find_top_k(hidden[too_few], k, item_filter.select_rows(too_few))
            top.indices[too_few], top.values[too_few] = exact
        return top

    def _select_lists(self, query: Tensor) -> NDArray[np.int32]:
        """(B, dim) → (B, nprobe) lists to read, the best first."""
        ranks = torch.addmm(query.norm(dim=1, keepdim=True) * self._radii, query, self._centroids)
        lists: NDArray[np.int32] = ranks.topk(self._index.nprobe).indices.int().contiguous().numpy()
        return lists

    def describe(self) -> dict[str, str | bool | int | float]:
        return super().describe() | self._index.to_dict()


def make_exact_scorer(model: SequentialRecommender, index: IvfPqIndex) -> Scorer | None:
    """Return an exact scan over all lists of the same file, which takes no extra memory."""
    embedding, scanner = get_six_bit_embedding(model), open_scanner(model, index)
    sparse_scan = NativeCodesScorer.for_model(model)
    if embedding is None or scanner is None or sparse_scan is None:
        return None
    return NativeBlocksScorer(embedding, scanner, sparse_scan, 0)


def open_scanner(model: SequentialRecommender, index: IvfPqIndex) -> BlockScanner | None:
    """Return None without the native library, and for a model without six-bit codes."""
    embedding, library = get_six_bit_embedding(model), load_library()
    if embedding is None or library is None:
        return None
    blocks, items, starts = index.blocks.numpy(), index.items.numpy(), index.starts.numpy()
    return BlockScanner(library, blocks, embedding.num_items, embedding.codebook_size, items=items, starts=starts)


@torch.inference_mode()
def build_ivf_pq(
    model: SequentialRecommender,
    hidden: Tensor,
    exact: Scorer,
    *,
    excluded: Sequence[Indices] | None = None,
    min_recall: float = MIN_RECALL,
) -> IvfPqIndex | None:
    """Build an index and calibrate its nprobe on `hidden` (Q, dim), queries with their `excluded` items.

    None if `min_recall` takes more than a quarter of all lists, and for a model without six-bit codes.
    """
    embedding = get_six_bit_embedding(model)
    if embedding is None:
        return None
    vectors = ItemVectors(model)
    list_of_item = _assign_lists(vectors, choose_num_lists(vectors.num_items))
    starts, items = _lay_out_slots(list_of_item)
    num_lists = len(starts) - 1
    centres, radii = _compute_centroids(vectors, list_of_item, num_lists)
    index = IvfPqIndex(centres, radii, starts, items, pack_slots(embedding, items), 1, 0.0, len(hidden))
    return calibrate_nprobe(
        index,
        lambda candidate: IvfPqScorer.from_index(model, candidate, exact),
        num_lists,
        hidden,
        exact,
        ItemFilter(vectors.num_items, excluded),
        min_recall,
    )


def _assign_lists(vectors: ItemVectors, num_lists: int) -> Tensor:
    """Assign each item the list whose centroid has the largest product with it → (num_items,), without empty lists."""
    faiss = import_faiss()
    faiss.omp_set_num_threads(torch.get_num_threads())
    options = {"niter": KMEANS_ITERATIONS, "seed": SEED, "spherical": True, "min_points_per_centroid": 1}
    kmeans = faiss.Kmeans(vectors.width, num_lists, **options)
    kmeans.train(sample_training_vectors(vectors, num_lists).numpy())
    nearest = [
        torch.from_numpy(kmeans.index.search(vectors.get_rows(items).numpy(), 1)[1][:, 0])
        for items in torch.arange(1, vectors.num_items + 1).split(CHUNK_ITEMS)
    ]
    lists: Tensor = torch.cat(nearest).unique(return_inverse=True)[1]
    return lists


def _lay_out_slots(list_of_item: Tensor) -> tuple[Tensor, Tensor]:
    """Return `starts` (lists + 1,) in blocks and `items` (slots,); a list begins with a block, its items ascend."""
    sizes = torch.bincount(list_of_item)
    starts = torch.zeros(len(sizes) + 1, dtype=torch.int64)
    torch.cumsum((sizes + BLOCK_ITEMS - 1) // BLOCK_ITEMS, 0, out=starts[1:])
    items = torch.zeros(int(starts[-1]) * BLOCK_ITEMS, dtype=torch.int32)
    order = list_of_item.argsort(stable=True)
    preceding_items = sizes.cumsum(0) - sizes  # in all lists before
    lists = list_of_item[order]
    items[starts[lists] * BLOCK_ITEMS + torch.arange(len(order)) - preceding_items[lists]] = (order + 1).int()
    return starts, items


def _compute_centroids(vectors: ItemVectors, list_of_item: Tensor, num_lists: int) -> tuple[Tensor, Tensor]:
    """Return the mean of each list (lists, width) and the mean distance from it (lists,)."""
    sizes = torch.bincount(list_of_item, minlength=num_lists).float()
    centroids, radii = torch.zeros(num_lists, vectors.width), torch.zeros(num_lists)
    chunks = torch.arange(1, vectors.num_items + 1).split(CHUNK_ITEMS)
    for items in chunks:
        centroids.index_add_(0, list_of_item[items - 1], vectors.get_rows(items))
    centroids /= sizes[:, None]
    for items in chunks:
        lists = list_of_item[items - 1]
        radii.index_add_(0, lists, (vectors.get_rows(items) - centroids[lists]).norm(dim=1))
    return centroids, radii / sizes


def pack_slots(embedding: CodesEmbedding, items: Tensor) -> Tensor:
    parts = (packing.unpack(embedding.kept[slots.long()]) for slots in items.split(CHUNK_ITEMS))
    return torch.cat([torch.from_numpy(pack_blocks(codes.to(torch.uint8).numpy())) for codes in parts])
