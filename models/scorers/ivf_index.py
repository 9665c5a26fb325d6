"""An index of item vectors by neighbourhood (inverted lists, faiss), built to a recall that is measured.

Approximate: a query looks into `probes` of the lists only. How many it takes is found on hidden vectors of real
histories, against exact answers, because vectors made up for a test are easier to find than real ones. faiss is the
optional extra `ann`, and is imported when an index is made or read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.scorers.base import Scorer
from models.scorers.eligible import Eligible, Indices
from models.scorers.vectors import ItemVectors

AT_LEAST = 0.99
"""recall@10 that an index must reach."""
K = 10
TRAINED_ON = 64  # items per list from which its centre is learned
CHUNK = 1 << 16  # items added at once
ROWS = 32  # queries answered exactly at once
SPARE = 30  # candidates beyond k and what is denied
SEED = 20_231_206


@dataclass(frozen=True, slots=True)
class IvfIndex:
    """`lists` inverted lists, of which `probes` are read; `recall` at 10, measured on `queries` hidden vectors."""

    index: Any
    lists: int
    probes: int
    recall: float
    queries: int

    def told(self) -> dict[str, float]:
        return {"lists": self.lists, "probes": self.probes, "recall@10": self.recall, "queries": self.queries}

    def save(self, path: Path) -> None:
        _faiss().write_index(self.index, str(path))

    @classmethod
    def load(cls, path: Path, told: dict[str, float]) -> "IvfIndex":
        lists, probes, queries = (int(told[name]) for name in ("lists", "probes", "queries"))
        return cls(_faiss().read_index(str(path)), lists, probes, told["recall@10"], queries)

    def candidates(self, query: Tensor, count: int) -> Tensor:
        """(B, width) → (B, count) items, 0 where the lists held fewer."""
        return torch.from_numpy(self._search(query, count, self.probes)).clamp_min(0)

    def _search(self, query: Tensor, count: int, probes: int) -> Any:
        faiss = _faiss()
        faiss.omp_set_num_threads(torch.get_num_threads())
        wanted = faiss.SearchParametersIVF(nprobe=probes)
        return self.index.search(query.numpy(), count, params=wanted)[1]


@torch.inference_mode()
def build_ivf(
    vectors: ItemVectors,
    hidden: Tensor,
    exact: Scorer,
    *,
    denied: Sequence[Indices] | None = None,
    at_least: float = AT_LEAST,
) -> IvfIndex | None:
    """None if the recall asked for takes a quarter of all lists or more: then an exact scan is the better answer.

    `hidden` (Q, dim) are queries like those to come, `denied` what each of them may not be answered.
    """
    faiss = _faiss()
    query = vectors.query(hidden.float()).contiguous()
    lists = 1 << max(2, round(np.log2(np.sqrt(vectors.num_items))))
    index = faiss.index_factory(query.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = SEED
    faiss.omp_set_num_threads(torch.get_num_threads())
    generator = torch.Generator().manual_seed(SEED)
    sample = 1 + torch.randperm(vectors.num_items, generator=generator)[: TRAINED_ON * lists]
    index.train(vectors.rows(sample).numpy())
    for items in torch.arange(1, vectors.num_items + 1).split(CHUNK):
        index.add_with_ids(vectors.rows(items).numpy(), items.numpy())
    k = min(K, vectors.num_items)
    eligible = Eligible(vectors.num_items, denied)
    parts = (range(first, min(first + ROWS, len(hidden))) for first in range(0, len(hidden), ROWS))
    wanted = torch.cat([exact.best(hidden[rows.start : rows.stop], k, eligible.of(rows)).indices for rows in parts])
    probes = 1
    while probes <= lists // 4:
        found = IvfIndex(index, lists, probes, 0.0, len(hidden)).candidates(query, k + eligible.most_denied + SPARE)
        recall = float((wanted[:, :, None] == found[:, None, :]).any(-1).float().mean())
        if recall >= at_least:
            return IvfIndex(index, lists, probes, round(recall, 5), len(hidden))
        probes *= 2
    return None


def has_faiss() -> bool:
    try:
        _faiss()
    except ImportError:
        return False
    return True


def _faiss() -> Any:
    import faiss

    return faiss
