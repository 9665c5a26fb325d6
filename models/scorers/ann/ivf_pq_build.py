"""How an index of six-bit codes is built: items into lists by direction (k-means of faiss), lists into blocks.

Item vectors are made in parts: ten million of them never lie in memory together.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from models.embeddings import packing
from models.embeddings.codes import CodesEmbedding
from models.native.blocks_scan import PLACES, in_blocks
from models.recommender import SequentialRecommender
from models.scorers.ann.calibration import AT_LEAST, CHUNK, ROUNDS, SEED, calibrate_nprobe, number_of_lists, sample_of
from models.scorers.ann.ivf_index import faiss_module
from models.scorers.ann.ivf_pq import IvfPqScorer
from models.scorers.ann.ivf_pq_index import IvfPqIndex
from models.scorers.base import Scorer
from models.scorers.exact.native_blocks import six_bit_codes
from models.scorers.filter import Indices, ItemFilter
from models.scorers.vectors import ItemVectors


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
