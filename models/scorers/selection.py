"""Which scorer answers: measured on the machine that will answer, with the model that it will answer from.

Small batches and large ones may have different winners. Exact scorers give the same answers, so that two processes may
choose differently and still agree. Nothing else in the house names a scorer.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.embeddings.codes import CodesEmbedding
from models.heads.tied import TiedHead
from models.native.library import library
from models.recommender import SequentialRecommender
from models.scorers.ann.indexes import Index, make_approximate_scorer
from models.scorers.base import Scorer
from models.scorers.exact.blocked import BlockedScorer
from models.scorers.exact.codes import CodesScorer
from models.scorers.exact.grouped import GroupedScorer
from models.scorers.exact.int8 import Int8Scorer
from models.scorers.exact.native_blocks import NativeBlocksScorer
from models.scorers.exact.native_codes import NativeCodesScorer
from models.scorers.exact.plain import PlainScorer
from models.scorers.exact.tree import TreeScorer
from models.scorers.exact.triton_scorer import TritonScorer
from models.scorers.filter import ItemFilter

NATIVE_SCORERS: Sequence[type[Scorer]] = (NativeBlocksScorer, NativeCodesScorer)
COMPILED_SCORERS: Sequence[type[Scorer]] = (*NATIVE_SCORERS, TritonScorer)
"""Those that are not torch alone."""
EXACT_SCORERS: Sequence[type[Scorer]] = (
    *(PlainScorer, BlockedScorer, Int8Scorer, CodesScorer, TreeScorer, GroupedScorer),
    *COMPILED_SCORERS,
)
BENCHMARK_MIN_ITEMS = 20_000
"""Items. Below, a scan of codes wins wherever it fits and `plain` everywhere else, as measured (DECISIONS.md)."""
PLAIN_MAX_ITEMS = 500_000
"""Items. Beyond, where another fits, not even tried: it writes gigabytes of scores."""
MAX_EXTRA_BYTES = 256 << 20
"""What a scorer may keep beside the weights. Weights are mapped and shared, but this is every worker's own: at ten
million items four int8 tables would be 2.6 of the 4 GB that all workers together may take."""
BATCHES = (1, 32)
LARGE_FROM = 6  # histories: the geometric mean of the two
NUM_EXCLUDED, K = 50, 10  # of the batches that are measured
BUDGET_S = 1.0


INT8_MIN_ITEMS = 50_000
"""Items. From here on int8 won for small batches or large ones wherever it was measured, and may be kept."""


class ScorerEstimate(NamedTuple):
    """`extra_bytes`: bytes that the chosen scorers will keep, as a rule. `scores_written`: whether all scores of a batch are,
    by the one that is chosen or by one that is tried.
    """

    extra_bytes: int
    scores_written: bool


@dataclass(frozen=True, slots=True)
class ScorerSelection:
    """`timings_ms`: batch size → scorer → best of a few rounds; empty where nothing was measured."""

    small: Scorer
    large: Scorer
    timings_ms: dict[int, dict[str, float]]

    def scorer(self, rows: int) -> Scorer:
        return self.large if rows >= LARGE_FROM else self.small

    @property
    def recall(self) -> float:
        return min(self.small.recall, self.large.recall)

    @property
    def nbytes(self) -> int:
        extra_bytes = {id(scorer): scorer.nbytes for scorer in (self.small, self.large)}
        return sum(extra_bytes.values())

    def describe(self) -> dict[str, object]:
        """What serves batches of one and large batches, and what was measured to decide it."""
        return {
            "small": self.small.describe(),
            "large": self.large.describe(),
            "large_from": LARGE_FROM,
            "timings_ms": {str(size): timings for size, timings in self.timings_ms.items()},
        }

    def with_index(
        self, model: SequentialRecommender, index: Index, *, benchmark_min_items: int = BENCHMARK_MIN_ITEMS
    ) -> "ScorerSelection":
        """Approximate from now on where that is faster, with what was chosen before for what the index cannot serve.

        A scan of everything is shared by a whole batch and lists only in part: large batches may be better off exact.
        """
        approximate = make_approximate_scorer(model, index, self.large)
        if approximate is None:
            return self
        if model.embedding.num_items < benchmark_min_items:
            return replace(self, small=approximate, large=approximate)
        chosen: list[Scorer] = []
        timings = dict(self.timings_ms)
        for size, rival in zip(BATCHES, (self.small, self.large), strict=True):
            found = benchmark_scorers([approximate, rival], model, size, BUDGET_S / len(BATCHES))
            chosen.append(rival if found[rival.name] < found[approximate.name] else approximate)
            timings[size] = timings.get(size, {}) | found
        return ScorerSelection(chosen[0], chosen[1], timings)


def select_plain_scorer(model: SequentialRecommender) -> ScorerSelection:
    plain = PlainScorer.for_model(model)
    return ScorerSelection(plain, plain, {})


def estimate_scorers(model: SequentialRecommender) -> ScorerEstimate:
    """What a choice will come to, told by shapes: the model needs no weights, and nothing is built or timed."""
    num_items = model.embedding.num_items
    blocks = 0 if library() is None else NativeBlocksScorer.estimate_extra_bytes(model)
    if num_items < BENCHMARK_MIN_ITEMS:
        of_codes = isinstance(model.embedding, CodesEmbedding) and isinstance(model.head, TiedHead)
        return ScorerEstimate(blocks, scores_written=not of_codes)
    if 0 < blocks <= MAX_EXTRA_BYTES:
        return ScorerEstimate(blocks, scores_written=num_items <= PLAIN_MAX_ITEMS)
    keeping = {
        kind: size for kind in EXACT_SCORERS if 0 < (size := kind.estimate_extra_bytes(model)) <= MAX_EXTRA_BYTES
    }
    extra_bytes = keeping.get(Int8Scorer, 0) if num_items >= INT8_MIN_ITEMS else 0
    return ScorerEstimate(extra_bytes, scores_written=num_items <= PLAIN_MAX_ITEMS or bool(keeping))


@torch.inference_mode()
def select_scorers(
    model: SequentialRecommender,
    *,
    native: bool = True,
    budget_s: float = BUDGET_S,
    benchmark_min_items: int = BENCHMARK_MIN_ITEMS,
    max_extra_bytes: int = MAX_EXTRA_BYTES,
) -> ScorerSelection:
    """The fastest exact scorers that keep no more than `max_extra_bytes`, `native` ones among them or not.

    Beyond `budget_s` seconds of measuring, one round of each counts. What has no rival is not measured.
    """
    kinds = [kind for kind in EXACT_SCORERS if native or kind not in COMPILED_SCORERS]
    num_items = model.embedding.num_items
    if num_items < benchmark_min_items:
        best_first = [kind for kind in (*NATIVE_SCORERS, CodesScorer) if kind in kinds]
        known = next(filter(None, (kind.for_model(model) for kind in best_first)), PlainScorer.for_model(model))
        return ScorerSelection(known, known, {})
    frugal = [kind for kind in kinds if kind.estimate_extra_bytes(model) <= max_extra_bytes]
    made = {kind.name: scorer for kind in frugal if (scorer := kind.for_model(model)) is not None}
    if num_items > PLAIN_MAX_ITEMS and len(made) > 1:
        del made[PlainScorer.name]
    if len(made) == 1:
        only = next(iter(made.values()))
        return ScorerSelection(only, only, {})
    timings = {size: benchmark_scorers(list(made.values()), model, size, budget_s / len(BATCHES)) for size in BATCHES}
    small, large = (made[min(timings[size], key=timings[size].__getitem__)] for size in BATCHES)
    return ScorerSelection(small, large, timings)


def benchmark_scorers(
    scorers: Sequence[Scorer], model: SequentialRecommender, size: int, budget_s: float, most: int = 5
) -> dict[str, float]:
    """Milliseconds per batch of `size`, the least of up to `most` rounds in turn; the first round only warms up."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(size)
    hidden = torch.randn(size, model.config.dim, generator=generator).to(device)
    rng = np.random.default_rng(size)
    num_items = model.embedding.num_items
    excluded = [rng.integers(1, num_items + 1, NUM_EXCLUDED) for _ in range(size)]
    found: dict[str, float] = {}
    end = time.perf_counter() + budget_s
    for turn in count():
        for scorer in scorers:
            took = time_batch(scorer, hidden, min(K, num_items), ItemFilter(num_items, excluded))
            found[scorer.name] = took if turn < 2 else min(took, found[scorer.name])
        if turn == most or time.perf_counter() > end:
            break
    return {name: round(1e3 * seconds, 3) for name, seconds in found.items()}


def time_batch(scorer: Scorer, hidden: Tensor, k: int, item_filter: ItemFilter) -> float:
    """Seconds of one batch."""
    began = time.perf_counter()
    scorer.find_top_k(hidden, k, item_filter)
    if hidden.device.type == "cuda":
        torch.cuda.synchronize(hidden.device)
    return time.perf_counter() - began
