"""Chooses the kind of ANN index for a model, and builds, loads and estimates it.

IVF-PQ where a model has six-bit codes and native code can scan them, else IVF of faiss. faiss builds both kinds;
reading IVF-PQ does not need it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from models.native.block_scanner import BLOCK_ITEMS, ROW_BYTES
from models.native.library import load_library
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import choose_num_lists
from models.scorers.ann.ivf import IvfIndex, IvfScorer, build_ivf, has_faiss
from models.scorers.ann.ivf_pq import IvfPqIndex, IvfPqScorer, build_ivf_pq, make_exact_scorer
from models.scorers.ann.ivf_pq_checks import check_ivf_pq
from models.scorers.base import IndexInfo, Scorer
from models.scorers.exact.native_blocks import get_six_bit_embedding
from models.scorers.filter import Indices
from models.scorers.vectors import get_item_vectors

Index = IvfIndex | IvfPqIndex

log = logging.getLogger(__name__)


class IndexEstimate(NamedTuple):
    """`file_bytes` are mapped and shared by all workers; `extra_bytes` are each worker's, exact scorer included."""

    file_bytes: int
    extra_bytes: int


def choose_index_kind(model: SequentialRecommender) -> type[Index] | None:
    """Return None for scores that are not inner products."""
    if get_six_bit_embedding(model) is not None and load_library() is not None:
        return IvfPqIndex
    return None if get_item_vectors(model) is None else IvfIndex


def build_index(
    model: SequentialRecommender, hidden: Tensor, exact: Scorer, *, excluded: Sequence[Indices] | None = None
) -> Index | None:
    """Return None where no index fits, or where the target recall costs as much as an exact scan.

    A catalogue with fewer items than lists, below 16, has no index: k-means needs an item per list.
    """
    kind, vectors = choose_index_kind(model), get_item_vectors(model)
    if kind is None or vectors is None or vectors.num_items < choose_num_lists(vectors.num_items):
        return None
    build = build_ivf_pq if kind is IvfPqIndex else build_ivf
    return build(model, hidden, exact, excluded=excluded)


def estimate_index(model: SequentialRecommender, exact_bytes: int) -> IndexEstimate | None:
    """Estimate the result of `build_index` from tensor shapes alone; None where no index fits.

    `exact_bytes`: extra bytes of the exact scorer, which an IVF-PQ index makes unnecessary.
    """
    kind, codes, vectors = choose_index_kind(model), get_six_bit_embedding(model), get_item_vectors(model)
    if kind is None or vectors is None:
        return None
    if kind is IvfIndex or codes is None:
        return IndexEstimate(vectors.num_items * (vectors.width + 8), exact_bytes)
    lists = choose_num_lists(codes.num_items)
    slots = codes.num_items + lists * BLOCK_ITEMS // 2  # the last block of a list is half empty on average
    list_bytes = 4 * (vectors.width + 1)
    code_bytes = slots * codes.num_subspaces * ROW_BYTES // BLOCK_ITEMS
    return IndexEstimate(code_bytes + 4 * slots + lists * (list_bytes + 8), lists * list_bytes)


def make_approximate_scorer(model: SequentialRecommender, index: Index, fallback: Scorer) -> Scorer | None:
    """Return a scorer that uses `fallback` where the index cannot answer; None if it does not fit this model."""
    if isinstance(index, IvfPqIndex):
        return IvfPqScorer.from_index(model, index, fallback)
    return IvfScorer.from_index(model, index, fallback)


def make_exact_index_scorer(model: SequentialRecommender, index: Index) -> Scorer | None:
    """Return an exact scorer that reads the index file and takes no extra memory; None where there is none."""
    return make_exact_scorer(model, index) if isinstance(index, IvfPqIndex) else None


def check_index(index: Index, model: SequentialRecommender) -> None:
    """ValueError unless the index holds each item of the model once, and all its arrays fit together."""
    if isinstance(index, IvfPqIndex):
        check_ivf_pq(index, model)
    else:
        index.check(model)


def load_index(path: Path, info: IndexInfo, *, native: bool = True) -> Index | None:
    """Map the index file, which must not be changed in place while the index is in use.

    Returns None, with a warning, where this installation cannot read its kind or `native` code is off. Raises KeyError,
    TypeError or ValueError for a file or info of another form.
    """
    if info.get("kind", IvfIndex.kind) == IvfPqIndex.kind:
        if native and load_library() is not None:
            return IvfPqIndex.load(path, info)
        reason = "it needs native code, which is off or not built (python -m models.native.build)"
    else:
        if has_faiss():
            return IvfIndex.load(path, info)
        reason = "faiss is not installed (pip install 'nextup[ann]')"
    log.warning("%s is not used, answers stay exact and take longer: %s", path.name, reason)
    return None
