"""Selects the scorers of a model by benchmarking them on the machine and with the weights that will serve.

Small and large batches may have different winners. Exact scorers give the same answers, so processes that select
differently still agree. Outside this package only benchmarks name concrete scorers.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

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

COMPILED_SCORERS: Sequence[type[Scorer]] = (NativeBlocksScorer, NativeCodesScorer, TritonScorer)
"""Scorers that are not torch alone."""
TORCH_SCORERS = (PlainScorer, BlockedScorer, Int8Scorer, CodesScorer, TreeScorer, GroupedScorer)
EXACT_SCORERS: Sequence[type[Scorer]] = (*TORCH_SCORERS, *COMPILED_SCORERS)
SMALL_CATALOGUE_SCORERS: Sequence[type[Scorer]] = (NativeBlocksScorer, NativeCodesScorer, CodesScorer, PlainScorer)
"""Best first, as measured (ADR-0023): below `BENCHMARK_MIN_ITEMS`, scans of codes are fastest wherever they apply."""
BENCHMARK_MIN_ITEMS = 20_000
PLAIN_MAX_ITEMS = 500_000
"""Above it, `plain` is not benchmarked where another scorer fits: it writes gigabytes of scores."""
INT8_MIN_ITEMS = 50_000
"""From here on, `int8` won for small or large batches wherever it was measured."""
MAX_EXTRA_BYTES = 256 << 20
"""Of a scorer, in addition to the weights.

Weights are mapped and shared, but every worker has these bytes: at ten million items, four int8 tables would take 2.6
of the 4 GB for all workers together.
"""
BATCHES = (1, 32)
LARGE_FROM = 6  # histories: the geometric mean of the two
NUM_EXCLUDED, K = 50, 10  # of the benchmark batches
BUDGET_S, MAX_ROUNDS = 1.0, 5


class ScorerEstimate(NamedTuple):
    """`extra_bytes`: expected memory of the selected scorers in addition to the weights.

    `scores_written`: whether all scores of a batch are written, by the winner or during the benchmark.
    """

    extra_bytes: int
    scores_written: bool


@dataclass(frozen=True, slots=True)
class ScorerSelection:
    """`timings_ms`: batch size → scorer → best of a few rounds; empty if nothing was benchmarked."""

    small: Scorer
    large: Scorer
    timings_ms: dict[int, dict[str, float]]

    def get_scorer(self, rows: int) -> Scorer:
        return self.large if rows >= LARGE_FROM else self.small

    @property
    def recall(self) -> float:
        return min(self.small.recall, self.large.recall)

    @property
    def nbytes(self) -> int:
        bytes_by_scorer = {id(scorer): scorer.nbytes for scorer in (self.small, self.large)}
        return sum(bytes_by_scorer.values())

    def describe(self) -> dict[str, object]:
        """Describe the scorers of small and large batches, and the timings that decided."""
        return {
            "small": self.small.describe(),
            "large": self.large.describe(),
            "large_from": LARGE_FROM,
            "timings_ms": {str(size): timings for size, timings in self.timings_ms.items()},
        }

    def with_index(
        self, model: SequentialRecommender, index: Index, *, benchmark_min_items: int = BENCHMARK_MIN_ITEMS
    ) -> "ScorerSelection":
        """Use the index where it is faster; the exact scorers serve histories that it cannot.

        A scan of everything is shared by a whole batch, and lists only in part: large batches may stay exact.
        """
        approximate = make_approximate_scorer(model, index, self.large)
        if approximate is None:
            return self
        if model.embedding.num_items < benchmark_min_items:
            return replace(self, small=approximate, large=approximate)
        winners: list[Scorer] = []
        timings = dict(self.timings_ms)
        for size, exact in zip(BATCHES, (self.small, self.large), strict=True):
            result = benchmark_scorers([approximate, exact], model, size, BUDGET_S / len(BATCHES))
            winners.append(exact if result[exact.name] < result[approximate.name] else approximate)
            timings[size] = timings.get(size, {}) | result
        return ScorerSelection(winners[0], winners[1], timings)


def select_plain_scorer(model: SequentialRecommender) -> ScorerSelection:
    plain = PlainScorer.for_model(model)
    return ScorerSelection(plain, plain, {})


def list_candidates(
    model: SequentialRecommender,
    *,
    native: bool = True,
    benchmark_min_items: int = BENCHMARK_MIN_ITEMS,
    max_extra_bytes: int = MAX_EXTRA_BYTES,
) -> Mapping[type[Scorer], int]:
    """List the scorers that fit the shape of a model, with their extra bytes; weights are not needed.

    For a small catalogue the first one that can be built serves; for others, all of them are benchmarked.
    """
    is_small = model.embedding.num_items < benchmark_min_items
    sizes = {
        kind: kind.estimate_extra_bytes(model)
        for kind in (SMALL_CATALOGUE_SCORERS if is_small else EXACT_SCORERS)
        if native or kind not in COMPILED_SCORERS
    }
    return {kind: size for kind, size in sizes.items() if size is not None and (is_small or size <= max_extra_bytes)}


def estimate_scorers(model: SequentialRecommender) -> ScorerEstimate:
    """Estimate the memory of `select_scorers` from tensor shapes alone; nothing is built or timed."""
    sizes = list_candidates(model)
    num_items = model.embedding.num_items
    if num_items < BENCHMARK_MIN_ITEMS:
        kind, size = next(iter(sizes.items()))
        return ScorerEstimate(size, scores_written=kind is PlainScorer)
    is_plain_benchmarked = num_items <= PLAIN_MAX_ITEMS
    if NativeBlocksScorer in sizes:
        return ScorerEstimate(sizes[NativeBlocksScorer], scores_written=is_plain_benchmarked)
    int8_bytes = sizes.get(Int8Scorer, 0) if num_items >= INT8_MIN_ITEMS else 0
    return ScorerEstimate(int8_bytes, scores_written=is_plain_benchmarked or any(sizes.values()))


@torch.inference_mode()
def select_scorers(
    model: SequentialRecommender,
    *,
    native: bool = True,
    budget_s: float = BUDGET_S,
    benchmark_min_items: int = BENCHMARK_MIN_ITEMS,
    max_extra_bytes: int = MAX_EXTRA_BYTES,
) -> ScorerSelection:
    """Select the fastest exact scorers within `max_extra_bytes`, compiled ones only if `native`.

    Beyond `budget_s` seconds, one round of each scorer counts. A single candidate is used without benchmarking.
    """
    num_items = model.embedding.num_items
    kinds = list_candidates(
        model, native=native, benchmark_min_items=benchmark_min_items, max_extra_bytes=max_extra_bytes
    )
    candidates = (scorer for kind in kinds if (scorer := kind.for_model(model)) is not None)
    if num_items < benchmark_min_items:
        first = next(candidates)
        return ScorerSelection(first, first, {})
    scorers = {scorer.name: scorer for scorer in candidates}
    if num_items > PLAIN_MAX_ITEMS and len(scorers) > 1:
        del scorers[PlainScorer.name]
    if len(scorers) == 1:
        (single,) = scorers.values()
        return ScorerSelection(single, single, {})
    timings = {size: benchmark_scorers([*scorers.values()], model, size, budget_s / len(BATCHES)) for size in BATCHES}
    small, large = (scorers[min(timings[size], key=timings[size].__getitem__)] for size in BATCHES)
    return ScorerSelection(small, large, timings)


def benchmark_scorers(
    scorers: Sequence[Scorer], model: SequentialRecommender, size: int, budget_s: float
) -> dict[str, float]:
    """Return milliseconds per batch of `size`: the minimum of up to MAX_ROUNDS interleaved rounds after a warm-up."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(size)
    hidden = torch.randn(size, model.config.dim, generator=generator).to(device)
    rng = np.random.default_rng(size)
    num_items = model.embedding.num_items
    excluded = [rng.integers(1, num_items + 1, NUM_EXCLUDED) for _ in range(size)]
    seconds: dict[str, float] = {}
    deadline = time.perf_counter() + budget_s
    for turn in count():
        for scorer in scorers:
            elapsed = time_batch(scorer, hidden, min(K, num_items), ItemFilter(num_items, excluded))
            seconds[scorer.name] = elapsed if turn < 2 else min(elapsed, seconds[scorer.name])
        if turn == MAX_ROUNDS or time.perf_counter() > deadline:
            break
    return {name: round(1e3 * elapsed, 3) for name, elapsed in seconds.items()}


def time_batch(scorer: Scorer, hidden: Tensor, k: int, item_filter: ItemFilter) -> float:
    """Measure the seconds of one batch."""
    started_at = time.perf_counter()
    scorer.find_top_k(hidden, k, item_filter)
    if hidden.device.type == "cuda":
        torch.cuda.synchronize(hidden.device)
    return time.perf_counter() - started_at
