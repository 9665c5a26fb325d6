"""The approximate one for six-bit codes: blocks of the lists nearest to a query are scanned, and the others are not.

What is found has its true score, whatever is denied. A history with a mask, or whose lists hold too few items, goes to
an exact scorer, and k eligible items come back as from any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.blocks_scan import PLACES, BlocksScan, in_blocks
from models.native.library import library
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import AT_LEAST, CHUNK, ROUNDS, SEED, calibrate_nprobe, number_of_lists, sample_of
from models.scorers.ann.ivf import faiss_module
from models.scorers.base import IndexInfo, Scorer, TopK
from models.scorers.exact.native_blocks import NativeBlocksScorer, products_of, six_bit_codes
from models.scorers.filter import Indices, ItemFilter
from models.scorers.vectors import ItemVectors

ARRAYS = ("centres", "radii", "starts", "items", "blocks")


@dataclass(frozen=True, slots=True)
class IvfPqIndex:
    """Of a query, the `nprobe` lists are read that `models/scorers/ann/ivf_pq.py` puts first.

    `centres` (lists, dim) and `radii` (lists,) float32: the mean of a list's items, and their mean distance from it.
    `starts` (lists + 1,) int64: the first block of each. `items` (places,) int32: whose codes stand in each place, 0
    for none. `blocks` (places / 64, num_subspaces, 48) uint8. `recall` at 10 was measured on `queries` hidden vectors.
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
        lists = len(self.centres)
        return {
            "kind": self.kind,
            "lists": lists,
            "probes": self.nprobe,
            "recall@10": self.recall,
            "queries": self.queries,
        }

    def save(self, path: Path) -> None:
        save_file({name: getattr(self, name).contiguous() for name in ARRAYS}, path)

    @classmethod
    def load(cls, path: Path, told: IndexInfo) -> Self:
        """KeyError or ValueError for what is no such index. The file must not be changed in place while this lives."""
        found = load_file(path)
        nprobe, queries = int(told["probes"]), int(told["queries"])
        recall = float(told["recall@10"])
        return cls(**{name: found[name] for name in ARRAYS}, nprobe=nprobe, recall=recall, queries=queries)


REACH = 0.25
"""How much of a list's radius counts for it: a fifth fewer items are read for the same recall than by centres alone."""


class IvfPqScorer(Scorer):
    name = "native lists"
    is_exact = False

    def __init__(self, embedding: CodesEmbedding, index: IvfPqIndex, scan: BlocksScan, otherwise: Scorer) -> None:
        """`scan` reads the blocks of the index."""
        self._embedding, self._index, self._scan, self._otherwise = embedding, index, scan, otherwise
        self._centres, self._radii = index.centres.T.contiguous(), index.radii * REACH
        self.recall = index.recall
        self.nbytes = self._centres.nbytes + self._radii.nbytes
        self.width = len(index.radii)

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:  # noqa: ARG003
        """None: it needs an index, which takes queries to build."""
        return None

    @classmethod
    def of(cls, model: SequentialRecommender, index: IvfPqIndex, otherwise: Scorer) -> Self | None:
        embedding, scan = six_bit_codes(model), scan_of(model, index)
        return None if embedding is None or scan is None else cls(embedding, index, scan, otherwise)

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        query = hidden.float()
        found = self._scan.find_top_k(
            products_of(self._embedding, query), k, lists=self.lists(query), excluded=item_filter.excluded
        )
        indices, values = map(torch.from_numpy, found)
        masked = item_filter.masked_rows
        too_few = (indices[:, -1] == 0).nonzero().squeeze(-1).tolist()
        if rows := sorted({*masked, *too_few}):
            best = self._otherwise.find_top_k(hidden[rows], k, item_filter.of(rows))
            indices[rows], values[rows] = best.indices, best.values
        return TopK(indices, values)

    def lists(self, query: Tensor) -> NDArray[np.int32]:
        """(B, dim) → (B, probes) the lists to be read, the best first."""
        near = torch.addmm(query.norm(dim=1, keepdim=True) * self._radii, query, self._centres)
        found: NDArray[np.int32] = near.topk(self._index.nprobe).indices.int().contiguous().numpy()
        return found

    def describe(self) -> dict[str, str | bool | int | float]:
        return super().describe() | self._index.to_dict()


def exact_of(model: SequentialRecommender, index: IvfPqIndex) -> Scorer | None:
    """The exact scan of the same file: all of its lists, and no memory of its own."""
    embedding, scan = six_bit_codes(model), scan_of(model, index)
    return None if embedding is None or scan is None else NativeBlocksScorer(embedding, scan, 0)


def scan_of(model: SequentialRecommender, index: IvfPqIndex) -> BlocksScan | None:
    """None without the native library, or for a model that has no such codes."""
    embedding, native = six_bit_codes(model), library()
    if embedding is None or native is None:
        return None
    blocks, items, starts = index.blocks.numpy(), index.items.numpy(), index.starts.numpy()
    return BlocksScan(native, blocks, embedding.num_items, embedding.codebook_size, items=items, starts=starts)


@torch.inference_mode()
def build_ivf_pq(
    model: SequentialRecommender,
    hidden: Tensor,
    exact: Scorer,
    *,
    excluded: Sequence[Indices] | None = None,
    at_least: float = AT_LEAST,
) -> IvfPqIndex | None:
    """None if the recall asked for takes a quarter of all lists, and for a model without such codes.

    `hidden` (Q, dim) are queries like those to come, `excluded` what each of them may not be answered.
    """
    embedding = six_bit_codes(model)
    if embedding is None:
        return None
    vectors = ItemVectors(model)
    list_of = _assigned(vectors, number_of_lists(vectors.num_items))
    starts, items = _placed(list_of)
    centres, radii = _shapes(vectors, list_of, len(starts) - 1)
    blocks = _blocks(embedding, items)
    built = IvfPqIndex(centres, radii, starts, items, blocks, 1, 0.0, len(hidden))
    found = calibrate_nprobe(
        lambda nprobe: IvfPqScorer.of(model, replace(built, nprobe=nprobe), exact),
        *(len(radii), hidden, exact, ItemFilter(vectors.num_items, excluded), at_least),
    )
    return None if found is None else replace(built, nprobe=found[0], recall=found[1])


def _assigned(vectors: ItemVectors, lists: int) -> Tensor:
    """(num_items,) the list of each item, numbered from 0 without gaps: its centre has the largest product with it."""
    faiss = faiss_module()
    faiss.omp_set_num_threads(torch.get_num_threads())
    means = faiss.Kmeans(
        vectors.width, lists, niter=ROUNDS, seed=SEED, spherical=True, min_points_per_centroid=1, verbose=False
    )
    means.train(sample_of(vectors, lists).numpy())
    near = [
        torch.from_numpy(means.index.search(vectors.rows(items).numpy(), 1)[1][:, 0])
        for items in torch.arange(1, vectors.num_items + 1).split(CHUNK)
    ]
    numbers: Tensor = torch.cat(near).unique(return_inverse=True)[1]
    return numbers


def _placed(list_of: Tensor) -> tuple[Tensor, Tensor]:
    """`starts` (lists + 1,) in blocks, and `items` (places,): a list begins with a block, its items rise."""
    sizes = torch.bincount(list_of)
    starts = torch.zeros(len(sizes) + 1, dtype=torch.int64)
    torch.cumsum((sizes + PLACES - 1) // PLACES, 0, out=starts[1:])
    items = torch.zeros(int(starts[-1]) * PLACES, dtype=torch.int32)
    order = list_of.argsort(stable=True)
    before = sizes.cumsum(0) - sizes  # items of the lists before
    of_place = list_of[order]
    items[starts[of_place] * PLACES + torch.arange(len(order)) - before[of_place]] = (order + 1).int()
    return starts, items


def _shapes(vectors: ItemVectors, list_of: Tensor, lists: int) -> tuple[Tensor, Tensor]:
    """`centres` (lists, width) and `radii` (lists,): the mean of each list, and the mean distance from it."""
    sizes = torch.bincount(list_of, minlength=lists).float()
    centres, radii = torch.zeros(lists, vectors.width), torch.zeros(lists)
    parts = torch.arange(1, vectors.num_items + 1).split(CHUNK)
    for items in parts:
        centres.index_add_(0, list_of[items - 1], vectors.rows(items))
    centres /= sizes[:, None]
    for items in parts:
        near = list_of[items - 1]
        radii.index_add_(0, near, (vectors.rows(items) - centres[near]).norm(dim=1))
    return centres, radii / sizes


def _blocks(embedding: CodesEmbedding, items: Tensor) -> Tensor:
    parts = (packing.unpack(embedding.kept[places.long()]) for places in items.split(CHUNK))
    return torch.cat([torch.from_numpy(in_blocks(codes.to(torch.uint8).numpy())) for codes in parts])
