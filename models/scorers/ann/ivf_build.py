"""How an index of inverted lists is built (faiss): for full tables, a byte per number.

Item vectors are made in parts: ten million of them never lie in memory together.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import AT_LEAST, CHUNK, ROUNDS, SEED, calibrate_nprobe, number_of_lists, sample_of
from models.scorers.ann.ivf import IvfScorer
from models.scorers.ann.ivf_index import IvfIndex, faiss_module
from models.scorers.base import Scorer
from models.scorers.filter import Indices, ItemFilter
from models.scorers.vectors import ItemVectors, item_vectors


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
