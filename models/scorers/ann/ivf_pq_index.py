"""An index of six-bit product codes by neighbourhood: each list has the codes of items that stand together, in blocks.

It holds nothing but codes, and its file is mapped, so that all workers share one copy. How one is built is in
`models/scorers/ann/ivf_pq_build.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from safetensors.torch import load_file, save_file
from torch import Tensor

from models.scorers.base import IndexInfo

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
