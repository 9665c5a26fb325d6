"""Approximate scorer over a faiss IVF index: candidates from the probed lists, scored exactly.

For full tables and catalogues of a million items and more. The index stores one byte per dimension (SQ8); its lists
stay in the mapped file, so that all workers share one copy. faiss is the optional extra `ann`, imported when an index
is built or read. Histories whose mask allows few items, or whose lists hold too few eligible items, go to an exact
scorer, so that k eligible items are returned, as by any other scorer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import (
    CHUNK_ITEMS,
    KMEANS_ITERATIONS,
    MIN_RECALL,
    SEED,
    calibrate_nprobe,
    check_index_numbers,
    choose_num_lists,
    sample_training_vectors,
)
from models.scorers.base import ApproximateScorer, IndexInfo, Scorer, TopK
from models.scorers.exact.blocked import BlockedScorer
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import Indices, ItemFilter
from models.scorers.order import select_top_k
from models.scorers.vectors import ItemVectors, get_item_vectors

SPARE_CANDIDATES = 30  # beyond k and the excluded items, for the error of one byte per dimension
FIRST_CANDIDATES, MORE_CANDIDATES = 64, 1024
"""Candidates for excluded items: few items of a long history score high, and most are fetched only if needed."""


@dataclass(frozen=True, slots=True)
class IvfIndex:
    """`lists` inverted lists, of which a query reads `nprobe`; `recall` at 10, measured on `queries` hidden vectors."""

    kind: ClassVar[str] = "inverted lists"
    index: Any
    lists: int
    nprobe: int
    recall: float
    queries: int

    def to_dict(self) -> IndexInfo:
        sizes = {"lists": self.lists, "probes": self.nprobe}
        return {"kind": self.kind, **sizes, "recall@10": self.recall, "queries": self.queries}

    def save(self, path: Path) -> None:
        import_faiss().write_index(self.index, str(path))

    @classmethod
    def load(cls, path: Path, info: IndexInfo) -> "IvfIndex":
        """Map the file, which must not be changed in place while the index is in use."""
        faiss = import_faiss()
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        # Prefetch threads, started and stopped with every query, are for disks: these pages are in memory.
        faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
        lists, nprobe, queries = (int(info[name]) for name in ("lists", "probes", "queries"))
        return cls(index, lists, nprobe, float(info["recall@10"]), queries)

    def check(self, model: SequentialRecommender) -> None:
        """ValueError unless the lists hold each item of the model once, and all sizes are the model's."""
        vectors = get_item_vectors(model)
        if vectors is None:
            return
        index, lists = self.index, self.index.invlists
        sizes = index.d, index.ntotal, index.nlist, lists.nlist, lists.code_size, index.quantizer.ntotal
        expected = vectors.width, vectors.num_items, self.lists, self.lists, vectors.width, self.lists
        if sizes != expected:
            raise ValueError(f"it has the sizes {sizes}, the model expects {expected}")
        check_index_numbers(self.nprobe, self.lists, self.recall)
        faiss = import_faiss()
        is_in_list = torch.zeros(vectors.num_items + 1, dtype=torch.bool)
        num_used = 0
        for number in range(self.lists):
            if not (size := lists.list_size(number)):
                continue
            num_used += size
            if num_used > vectors.num_items:
                break
            items = torch.from_numpy(faiss.rev_swig_ptr(lists.get_ids(number), size))
            if not 1 <= int(items.min()) <= int(items.max()) <= vectors.num_items:
                raise ValueError(f"list {number} holds items outside the catalogue")
            is_in_list[items] = True
        if num_used != vectors.num_items or not bool(is_in_list[1:].all()):
            raise ValueError("its lists must hold each item once")

    def find_candidates(self, query: Tensor, count: int) -> Tensor:
        """(B, width) → (B, count) items, 0 where the probed lists hold fewer."""
        faiss = import_faiss()
        faiss.omp_set_num_threads(torch.get_num_threads())
        parameters = faiss.SearchParametersIVF(nprobe=self.nprobe)
        items = torch.from_numpy(self.index.search(query.numpy(), count, params=parameters)[1])
        return items.clamp_min(0)


class IvfScorer(ApproximateScorer):
    """Scores the candidates of an `IvfIndex` exactly."""

    name = "ivf"

    def __init__(self, vectors: ItemVectors, index: IvfIndex, fallback: Scorer) -> None:
        self._vectors = vectors
        self._index = index
        self._fallback = fallback
        self.recall = index.recall
        # A byte per dimension and an 8-byte item index, in a mapped file that all workers share.
        self.nbytes = vectors.num_items * (index.index.code_size + 8)

    @classmethod
    def from_index(cls, model: SequentialRecommender, index: IvfIndex, fallback: Scorer | None = None) -> Self | None:
        """Return None for a model that is not on the CPU or whose scores are not inner products."""
        vectors = get_item_vectors(model)
        if vectors is None or vectors.device.type != "cpu":
            return None
        return cls(vectors, index, fallback or BlockedScorer.for_model(model) or PlainScorer.for_model(model))

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        shape = (len(hidden), k)
        top = TopK(torch.full(shape, PADDING, dtype=torch.int64), torch.full(shape, -torch.inf))
        query = self._vectors.to_query(hidden.float()).contiguous()
        sparse = set(item_filter.find_sparse_rows())
        remaining = [row for row in range(len(hidden)) if row not in sparse]
        for ahead in (FIRST_CANDIDATES, MORE_CANDIDATES):
            remaining = self._fill_settled_rows(top, query, item_filter, remaining, ahead)
        if rows := sorted(sparse) + remaining:
            exact = self._fallback.find_top_k(hidden[rows], k, item_filter.select_rows(rows))
            top.indices[rows], top.values[rows] = exact
        return top

    def _fill_settled_rows(
        self, top: TopK, query: Tensor, item_filter: ItemFilter, rows: list[int], ahead: int
    ) -> list[int]:
        """Fill in the rows for which `ahead` candidates beyond k are enough, and return the others.

        All items of the probed lists that score higher than the last candidate are candidates, up to the error of one
        byte per dimension. So the eligible candidates are correct if they are enough, however many are excluded.
        """
        k, rows_filter = top.indices.shape[1], item_filter.select_rows(rows)
        has_masks = bool(rows_filter.masked_rows)
        count = k + SPARE_CANDIDATES + (ahead if has_masks else min(ahead, rows_filter.max_excluded))
        if not rows or 2 * count > self._vectors.num_items:
            return rows
        rows_query = query[rows]
        items = self._index.find_candidates(rows_query, count).sort(dim=-1).values  # in catalogue order, for ties
        vectors = self._vectors.get_rows(items.flatten()).view(len(rows), count, -1)
        scores = torch.bmm(vectors, rows_query[:, :, None]).reshape(-1, 1)
        rows_filter.mask_blocks(scores, torch.arange(len(rows)).repeat_interleave(count), items.flatten())
        scores = scores.view(-1, count)
        values, columns = select_top_k(scores, k)
        enough = k if rows_filter.max_excluded <= ahead and not has_masks else k + SPARE_CANDIDATES
        is_settled = (scores > -torch.inf).sum(-1) >= enough
        settled_rows = torch.tensor(rows)[is_settled]
        top.indices[settled_rows], top.values[settled_rows] = items.gather(-1, columns)[is_settled], values[is_settled]
        return [row for row, settled in zip(rows, is_settled.tolist(), strict=True) if not settled]

    def describe(self) -> dict[str, str | bool | int | float]:
        return super().describe() | self._index.to_dict()


@torch.inference_mode()
def build_ivf(
    model: SequentialRecommender,
    hidden: Tensor,
    exact: Scorer,
    *,
    excluded: Sequence[Indices] | None = None,
    min_recall: float = MIN_RECALL,
) -> IvfIndex | None:
    """Build an index and calibrate its nprobe on `hidden` (Q, dim), queries with their `excluded` items.

    None if `min_recall` takes more than a quarter of all lists, and for scores that are not inner products.
    """
    vectors = get_item_vectors(model)
    if vectors is None:
        return None
    num_lists = choose_num_lists(vectors.num_items)
    index = IvfIndex(_build_faiss_index(vectors, num_lists), num_lists, 1, 0.0, len(hidden))
    return calibrate_nprobe(
        index,
        lambda candidate: IvfScorer.from_index(model, candidate, exact),
        num_lists,
        hidden,
        exact,
        ItemFilter(vectors.num_items, excluded),
        min_recall,
    )


def _build_faiss_index(vectors: ItemVectors, num_lists: int) -> object:
    faiss = import_faiss()
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.index_factory(vectors.width, f"IVF{num_lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = SEED, KMEANS_ITERATIONS, 1
    index.train(sample_training_vectors(vectors, num_lists).numpy())
    for items in torch.arange(1, vectors.num_items + 1).split(CHUNK_ITEMS):
        index.add_with_ids(vectors.get_rows(items).numpy(), items.numpy())
    return index


def has_faiss() -> bool:
    try:
        import_faiss()
    except ImportError:
        return False
    return True


def import_faiss() -> Any:
    import faiss

    return faiss
