"""Which kind of index a model gets, and how one is read: lists of codes where they can be, else those of faiss.

An index is built with faiss in any case, and lists of codes are read without it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from models.native.blocks_scan import PLACES, ROW
from models.native.library import library
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import number_of_lists
from models.scorers.ann.ivf import IvfIndex, IvfScorer, build_ivf, has_faiss
from models.scorers.ann.ivf_pq import IvfPqIndex, IvfPqScorer, build_ivf_pq, exact_of
from models.scorers.base import IndexInfo, Scorer
from models.scorers.exact.native_blocks import six_bit_codes
from models.scorers.filter import Indices
from models.scorers.vectors import item_vectors

Index = IvfIndex | IvfPqIndex

log = logging.getLogger(__name__)


def build_index(
    model: SequentialRecommender, hidden: Tensor, exact: Scorer, *, excluded: Sequence[Indices] | None = None
) -> Index | None:
    """None where no index is worth having: scores are no inner products, or recall costs as much as an exact scan."""
    with_lists = six_bit_codes(model) is not None and library() is not None
    return (
        build_ivf_pq(model, hidden, exact, excluded=excluded)
        if with_lists
        else build_ivf(model, hidden, exact, excluded=excluded)
    )


class IndexEstimate(NamedTuple):
    """`file_bytes` are mapped and shared; `extra_bytes` is each worker's own, what exact answers take among it."""

    file_bytes: int
    extra_bytes: int


def estimate_index(model: SequentialRecommender, exact_bytes: int) -> IndexEstimate | None:
    """What `build_index` will come to, told by shapes; None where no index fits.

    `exact_bytes`: what the exact scorer keeps, which goes where lists of codes come.
    """
    codes, vectors = six_bit_codes(model), item_vectors(model)
    if vectors is None:
        return None
    if codes is None or library() is None:
        return IndexEstimate(vectors.num_items * (vectors.width + 8), exact_bytes)
    lists = number_of_lists(codes.num_items)
    places = codes.num_items + lists * PLACES // 2  # the last block of a list is half empty
    row = 4 * (vectors.width + 1)
    return IndexEstimate(places * codes.num_subspaces * ROW // PLACES + 4 * places + lists * (row + 8), lists * row)


def make_approximate_scorer(model: SequentialRecommender, index: Index, otherwise: Scorer) -> Scorer | None:
    """The scorer that reads it, with `otherwise` for what it cannot answer; None where it cannot serve this model."""
    if isinstance(index, IvfPqIndex):
        return IvfPqScorer.of(model, index, otherwise)
    return IvfScorer.of(model, index, otherwise)


def make_exact_index_scorer(model: SequentialRecommender, index: Index) -> Scorer | None:
    """An exact scorer that reads the same file, and so keeps nothing; None where there is none."""
    return exact_of(model, index) if isinstance(index, IvfPqIndex) else None


def load_index(path: Path, told: IndexInfo, *, native: bool = True) -> Index | None:
    """None, with a warning, where this installation cannot read its kind, or may not run `native` code for it.

    KeyError, TypeError or ValueError for what is no index. The file must not be changed in place while this lives.
    """
    if told.get("kind", IvfIndex.kind) == IvfPqIndex.kind:
        if native and library() is not None:
            return IvfPqIndex.load(path, told)
        lack = "it takes native code, which is off or was not built (python -m models.native.build)"
    else:
        if has_faiss():
            return IvfIndex.load(path, told)
        lack = "faiss is not installed (pip install 'nextup[ann]')"
    log.warning("%s is not used, and answers stay exact and take longer: %s", path.name, lack)
    return None
