"""How much of an index must be read for a recall that is measured, against exact answers to queries like those to come.

Hidden vectors of real histories are what counts: vectors made up for a test are easier to find than real ones.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from models.scorers.base import Scorer
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors

AT_LEAST = 0.995
"""recall@10 that an index must reach: 0.99 is what is asked for, and other histories than those measured differ."""
K = 10
LISTS = 4
"""Times the root of the number of items: among more and smaller lists, fewer items are read for the same recall."""
LARGEST_SHARE = 4
"""Of all lists at most one in so many is read: else an exact scan is the better answer."""
TRAINED_ON = 40  # items per list from which its centre is learned
ROUNDS = 6  # of k-means: later ones change few lists
ROWS = 32  # queries answered exactly at once
CHUNK = 1 << 16  # items that are looked at together
SEED = 20_231_206


def number_of_lists(num_items: int) -> int:
    return 1 << max(2, round(math.log2(LISTS * math.sqrt(num_items))))


def sample_of(vectors: ItemVectors, lists: int) -> Tensor:
    """(S, width) vectors of items that centres are learned from."""
    generator = torch.Generator().manual_seed(SEED)
    return vectors.rows(1 + torch.randperm(vectors.num_items, generator=generator)[: TRAINED_ON * lists])


def calibrate_nprobe(
    scorer_of: Callable[[int], Scorer | None],
    lists: int,
    hidden: Tensor,
    exact: Scorer,
    item_filter: ItemFilter,
    at_least: float,
) -> tuple[int, float] | None:
    """The number of lists that reaches `at_least`, and what it reaches; None if a quarter of all does not.

    `scorer_of` gives the scorer that reads so many lists, `hidden` (Q, dim) are the queries.
    """
    wanted = _answers(exact, hidden, item_filter)
    for nprobe in _rising(lists // LARGEST_SHARE):
        scorer = scorer_of(nprobe)
        if scorer is None:
            return None
        found = _answers(scorer, hidden, item_filter)
        is_found = (wanted[:, :, None] == found[:, None, :]).any(-1)
        recall = float(is_found[wanted > 0].float().mean())
        if recall >= at_least:
            return nprobe, round(recall, 5)
    return None


def _answers(scorer: Scorer, hidden: Tensor, item_filter: ItemFilter) -> Tensor:
    """(Q, K) items, 0 where none is left."""
    k = min(K, item_filter.num_items)
    parts = (range(first, min(first + ROWS, len(hidden))) for first in range(0, len(hidden), ROWS))
    return torch.cat(
        [scorer.find_top_k(hidden[rows.start : rows.stop], k, item_filter.of(rows)).indices for rows in parts]
    )


def _rising(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, … up to `most`."""
    steps = {step for power in range(most.bit_length()) for step in (1 << power, 3 << power >> 1)}
    return sorted(step for step in steps if step <= most)
