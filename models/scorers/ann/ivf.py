"""The approximate one: candidates from inverted lists, scored exactly. For catalogues of a million items and more.

A history with a mask, or one that denies nearly all that its lists hold, goes to an exact scorer, and k eligible items
come back as from any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from models.batch import PADDING
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import AT_LEAST, CHUNK, ROUNDS, SEED, calibrate_nprobe, number_of_lists, sample_of
from models.scorers.base import IndexInfo, Scorer, TopK
from models.scorers.exact.blocked import BlockedScorer
from models.scorers.exact.plain import PlainScorer
from models.scorers.filter import Indices, ItemFilter
from models.scorers.order import top_in_order
from models.scorers.vectors import ItemVectors, item_vectors


@dataclass(frozen=True, slots=True)
class IvfIndex:
    """`lists` inverted lists, of which `nprobe` are read; `recall` at 10, measured on `queries` hidden vectors."""

    kind: ClassVar[str] = "inverted lists"
    index: Any
    lists: int
    nprobe: int
    recall: float
    queries: int

    def to_dict(self) -> IndexInfo:
        read = {"lists": self.lists, "probes": self.nprobe}
        return {"kind": self.kind, **read, "recall@10": self.recall, "queries": self.queries}

    def save(self, path: Path) -> None:
        faiss_module().write_index(self.index, str(path))

    @classmethod
    def load(cls, path: Path, told: IndexInfo) -> "IvfIndex":
        """The file must not be changed in place while this lives."""
        faiss = faiss_module()
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        # Threads that read ahead, begun and ended with every query, are for disks: these pages are in memory.
        faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
        lists, nprobe, queries = (int(told[name]) for name in ("lists", "probes", "queries"))
        return cls(index, lists, nprobe, float(told["recall@10"]), queries)

    def candidates(self, query: Tensor, count: int) -> Tensor:
        """(B, width) → (B, count) items, 0 where the lists held fewer."""
        faiss = faiss_module()
        faiss.omp_set_num_threads(torch.get_num_threads())
        wanted = faiss.SearchParametersIVF(nprobe=self.nprobe)
        found = torch.from_numpy(self.index.search(query.numpy(), count, params=wanted)[1])
        return found.clamp_min(0)


def has_faiss() -> bool:
    try:
        faiss_module()
    except ImportError:
        return False
    return True


def faiss_module() -> Any:
    import faiss

    return faiss


SPARE = 30  # candidates beyond k and what is denied, for what a byte per number loses
AHEAD, DEEP = 64, 1024
"""Candidates for what is denied: of a long history few items are among the best, and most are asked for only then."""


class IvfScorer(Scorer):
    name = "ivf"
    is_exact = False

    def __init__(self, vectors: ItemVectors, index: IvfIndex, otherwise: Scorer) -> None:
        self._vectors = vectors
        self._index = index
        self._otherwise = otherwise
        self.recall = index.recall
        # A byte per number, and the item's index; in a mapped file, where all workers share them.
        self.nbytes = vectors.num_items * (index.index.code_size + 8)

    @classmethod
    def for_model(cls, model: SequentialRecommender) -> Self | None:  # noqa: ARG003
        """None: it needs an index, which takes queries to build."""
        return None

    @classmethod
    def of(cls, model: SequentialRecommender, index: IvfIndex, otherwise: Scorer | None = None) -> Self | None:
        vectors = item_vectors(model)
        if vectors is None or vectors.device.type != "cpu":
            return None
        return cls(vectors, index, otherwise or BlockedScorer.for_model(model) or PlainScorer.for_model(model))

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        found = TopK(torch.full((len(hidden), k), PADDING, dtype=torch.int64), torch.full((len(hidden), k), -torch.inf))
        query = self._vectors.query(hidden.float()).contiguous()
        masked = item_filter.masked_rows
        left = [row for row in range(len(hidden)) if row not in masked]
        for ahead in (AHEAD, DEEP):
            left = self._answer(found, query, item_filter, left, ahead)
        if rows := masked + left:
            found.indices[rows], found.values[rows] = self._otherwise.find_top_k(hidden[rows], k, item_filter.of(rows))
        return found

    def _answer(self, found: TopK, query: Tensor, item_filter: ItemFilter, rows: list[int], ahead: int) -> list[int]:
        """Fill in those of the rows for which `ahead` candidates beyond k are enough; the others.

        All of the lists' items that score higher than the last candidate are candidates, but for what a byte per number
        loses. So what is left after the denied are gone is right if enough is left, however many are denied.
        """
        k, some = found.indices.shape[1], item_filter.of(rows)
        count = k + SPARE + min(ahead, some.max_excluded)
        if not rows or 2 * count > self._vectors.num_items:
            return rows
        asked = query[rows]
        items = self._index.candidates(asked, count).sort(dim=-1).values  # in catalogue order, for equal scores
        vectors = self._vectors.rows(items.flatten()).view(len(rows), count, -1)
        scores = torch.bmm(vectors, asked[:, :, None]).reshape(-1, 1)
        some.mask_blocks(scores, torch.arange(len(rows)).repeat_interleave(count), items.flatten())
        scores = scores.view(-1, count)
        values, columns = top_in_order(scores, k)
        enough = k if some.max_excluded <= ahead else k + SPARE
        is_settled = (scores > -torch.inf).sum(-1) >= enough
        at = torch.tensor(rows)[is_settled]
        found.indices[at], found.values[at] = items.gather(-1, columns)[is_settled], values[is_settled]
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
    at_least: float = AT_LEAST,
) -> IvfIndex | None:
    """None if the recall asked for takes a quarter of all lists, and for scores that are no inner products.

    `hidden` (Q, dim) are queries like those to come, `excluded` what each of them may not be answered.
    """
    vectors = item_vectors(model)
    if vectors is None:
        return None
    lists = number_of_lists(vectors.num_items)
    built = IvfIndex(_filled(vectors, lists), lists, 1, 0.0, len(hidden))
    item_filter = ItemFilter(vectors.num_items, excluded)
    found = calibrate_nprobe(
        lambda nprobe: IvfScorer.of(model, replace(built, nprobe=nprobe), exact),
        *(lists, hidden, exact, item_filter, at_least),
    )
    return None if found is None else replace(built, nprobe=found[0], recall=found[1])


def _filled(vectors: ItemVectors, lists: int) -> object:
    faiss = faiss_module()
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.index_factory(vectors.width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = SEED, ROUNDS, 1
    index.train(sample_of(vectors, lists).numpy())
    for items in torch.arange(1, vectors.num_items + 1).split(CHUNK):
        index.add_with_ids(vectors.rows(items).numpy(), items.numpy())
    return index
