"""Calibration of IVF indexes: the smallest nprobe that reaches a target recall, measured against exact answers.

Recall is measured on hidden vectors of real histories, because synthetic vectors are easier to find.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from models.scorers.base import Scorer
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Index = TypeVar("Index", bound="DataclassInstance")

MIN_RECALL = 0.995
"""recall@10 that an index must reach: the target is 0.99, and other histories than the measured ones differ."""
K = 10
LISTS_PER_ROOT = 4
"""Lists per square root of the number of items: with more, smaller lists, fewer items are read for the same recall."""
MIN_LISTS_PER_PROBE = 4
"""A query may read at most a quarter of all lists; beyond that, an exact scan is better."""
TRAINING_ITEMS_PER_LIST = 40  # for k-means
KMEANS_ITERATIONS = 6  # later ones change few lists
EXACT_BATCH = 32  # queries answered at a time
CHUNK_ITEMS = 1 << 16  # items whose vectors are decoded at a time: ten million vectors never fit in memory together
SEED = 20_231_206


def choose_num_lists(num_items: int) -> int:
    return 1 << max(2, round(math.log2(LISTS_PER_ROOT * math.sqrt(num_items))))


def check_index_numbers(nprobe: int, num_lists: int, recall: float) -> None:
    """ValueError for an nprobe or a recall that no index has."""
    if not 1 <= nprobe <= num_lists or not 0 <= recall <= 1:
        raise ValueError(f"probes {nprobe} and recall {recall:g} do not fit {num_lists} lists")


def sample_training_vectors(vectors: ItemVectors, num_lists: int) -> Tensor:
    """Sample (S, width) item vectors for k-means."""
    generator = torch.Generator().manual_seed(SEED)
    size = TRAINING_ITEMS_PER_LIST * num_lists
    return vectors.get_rows(1 + torch.randperm(vectors.num_items, generator=generator)[:size])


def calibrate_nprobe(
    index: Index,
    build_scorer: Callable[[Index], Scorer | None],
    num_lists: int,
    hidden: Tensor,
    exact: Scorer,
    item_filter: ItemFilter,
    min_recall: float,
) -> Index | None:
    """Copy `index` with the smallest `nprobe` that reaches `min_recall`, and with its `recall`.

    None if a quarter of all lists does not reach it, or if no scorer can read the index. `hidden` (Q, dim) are the
    queries.
    """
    expected = _find_top_items(exact, hidden, item_filter)
    for nprobe in _list_steps(num_lists // MIN_LISTS_PER_PROBE):
        candidate = replace(index, nprobe=nprobe)
        scorer = build_scorer(candidate)
        if scorer is None:
            return None
        retrieved = _find_top_items(scorer, hidden, item_filter)
        is_hit = (expected[:, :, None] == retrieved[:, None, :]).any(-1)
        recall = float(is_hit[expected > 0].float().mean())
        if recall >= min_recall:
            return replace(candidate, recall=round(recall, 5))
    return None


def _find_top_items(scorer: Scorer, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
    """(Q, K) items, 0 past the last eligible one."""
    k = min(K, item_filter.num_items)
    starts = range(0, len(hidden), EXACT_BATCH)
    batches = (range(first, min(first + EXACT_BATCH, len(hidden))) for first in starts)
    tops = (scorer.find_top_k(hidden[rows.start : rows.stop], k, item_filter.select_rows(rows)) for rows in batches)
    return torch.cat([top.indices for top in tops])


def _list_steps(limit: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, … up to `limit`."""
    steps = {step for power in range(limit.bit_length()) for step in (1 << power, 3 << power >> 1)}
    return sorted(step for step in steps if step <= limit)
