"""An index of item vectors by neighbourhood (inverted lists, faiss) and how much of it a query reads.

The lists stay in the mapped file, so that all workers share one copy. faiss is the optional extra `ann`, and is
imported when an index is made or read. How one is built is in `models/scorers/ann/ivf_build.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.scorers.base import IndexInfo


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
