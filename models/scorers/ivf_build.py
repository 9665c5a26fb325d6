"""How an index of inverted lists is built, and how much of it must be read for a recall that is measured.

What is read is found on hidden vectors of real histories, against exact answers, because vectors made up for a test are
easier to find than real ones. Item vectors are made in parts: ten million of codes never lie in memory together.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.scorers.base import Scorer
from models.scorers.eligible import Eligible, Indices
from models.scorers.ivf import IvfScorer
from models.scorers.ivf_index import IvfIndex, faiss_module
from models.scorers.vectors import ItemVectors, item_vectors

AT_LEAST = 0.995
"""recall@10 that an index must reach: 0.99 is what is asked for, and other histories than those measured differ."""
K = 10
LISTS = 4
"""Times the root of the number of items: among more and smaller lists, fewer items are read for the same recall."""
TRAINED_ON = 40  # items per list from which its centre is learned
ROUNDS = 6  # of k-means: later ones change few lists
CHUNK = 1 << 16  # items added at once
ROWS = 32  # queries answered exactly at once
LARGEST_SHARE = 4
"""Of all lists at most one in so many is read."""
SEED = 20_231_206


@torch.inference_mode()
def build_ivf(
    model: SequentialRecommender,
    hidden: Tensor,
    exact: Scorer,
    *,
    denied: Sequence[Indices] | None = None,
    at_least: float = AT_LEAST,
) -> IvfIndex | None:
    """None if the recall asked for takes a quarter of all lists: then an exact scan is the better answer.

    None also for scores that are no inner products. `hidden` (Q, dim) are queries like those to come, `denied` what
    each of them may not be answered.
    """
    vectors = item_vectors(model)
    if vectors is None:
        return None
    lists = 1 << max(2, round(np.log2(LISTS * np.sqrt(vectors.num_items))))
    built = IvfIndex(_filled(vectors, lists), lists, 1, 0.0, len(hidden))
    eligible = Eligible(vectors.num_items, denied)
    wanted = _answers(exact, hidden, eligible)
    for probes in _rising(lists // LARGEST_SHARE):
        index = replace(built, probes=probes)
        scorer = IvfScorer.of(model, index, exact)
        if scorer is None:
            return None
        found = _answers(scorer, hidden, eligible)
        is_found = (wanted[:, :, None] == found[:, None, :]).any(-1)
        recall = float(is_found[wanted > 0].float().mean())
        if recall >= at_least:
            return replace(index, recall=round(recall, 5))
    return None


def _filled(vectors: ItemVectors, lists: int) -> object:
    faiss = faiss_module()
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.index_factory(vectors.width, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = SEED, ROUNDS, 1
    generator = torch.Generator().manual_seed(SEED)
    sample = 1 + torch.randperm(vectors.num_items, generator=generator)[: TRAINED_ON * lists]
    index.train(vectors.rows(sample).numpy())
    for items in torch.arange(1, vectors.num_items + 1).split(CHUNK):
        index.add_with_ids(vectors.rows(items).numpy(), items.numpy())
    return index


def _answers(scorer: Scorer, hidden: Tensor, eligible: Eligible) -> Tensor:
    """(Q, K) items, 0 where none is left."""
    k = min(K, eligible.num_items)
    parts = (range(first, min(first + ROWS, len(hidden))) for first in range(0, len(hidden), ROWS))
    return torch.cat([scorer.best(hidden[rows.start : rows.stop], k, eligible.of(rows)).indices for rows in parts])


def _rising(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, … up to `most`."""
    steps = {step for power in range(most.bit_length()) for step in (1 << power, 3 << power >> 1)}
    return sorted(step for step in steps if step <= most)
