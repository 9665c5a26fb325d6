"""All scorers on random tables, timed interleaved: the measurements of `nextup bench score`.

Hidden vectors and item vectors are normal. That is the worst case for approximate search, because random vectors have
no neighborhoods, so for it items are drawn around √items centers and queries close to items.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import Tensor

from models.benchmarks.synthetic_model import compute_cluster_count, fill_codes
from models.benchmarks.timing import run_interleaved
from models.build import build_model
from models.config import ModelConfig, Part
from models.embeddings.codes import CodesEmbedding
from models.recommender import SequentialRecommender
from models.scorers.ann.indexes import build_index, make_approximate_scorer
from models.scorers.ann.ivf import has_faiss
from models.scorers.base import Scorer, TopK
from models.scorers.filter import ItemFilter, Mask
from models.scorers.selection import EXACT_SCORERS, NUM_EXCLUDED, K, select_scorers
from models.scorers.transition_ranking import TransitionRanking
from models.text_table import format_number, format_text_table
from models.transitions.memory import LOOKBACK, TransitionMemory

FORMS: dict[str, tuple[Part, str]] = {  # embedding and head
    "full": (Part("full"), "tied"),
    "codes": (Part("codes"), "tied"),
    "byte-codes": (Part("codes", {"codebook": 256}), "tied"),
    "adaptive": (Part("codes"), "adaptive"),  # its head does not read the embedding, so a small one suffices
}
QUERIES = 200
NOISE = 0.3
STD = 0.3
CHUNK = 1 << 16
HEAD = ("form", "scorer", "items", "batch", "ms", "least ms", "MB", "kept MB", "recall")


@dataclass(frozen=True, slots=True)
class ScorerTiming:
    """`ms` per batch, the median over rounds; bytes of the form's weights and of the scorer's additional tables."""

    form: str
    scorer: str
    items: int
    batch: int
    ms: float
    least_ms: float
    weights_bytes: int
    kept_bytes: int
    recall: float


@torch.inference_mode()
def measure_scorers(
    form: str,
    items: int,
    batches: Sequence[int],
    rounds: int,
    dim: int,
    *,
    approximate: bool,
    transitions: int = 0,
    mask_share: float | None = None,
) -> list[ScorerTiming]:
    """Time every scorer that supports the form at every batch size; histories exclude `NUM_EXCLUDED` items each.

    With `transitions` followers per item, each scorer is also timed with a random transition memory. With `mask_share`,
    all histories share a random mask that allows this share of the items.
    """
    mask = None if mask_share is None else np.random.default_rng(1).random(items + 1) < mask_share
    model = build_random_model(form, items, dim)
    plain_scorers = [scorer for kind in EXACT_SCORERS if (scorer := kind.for_model(model)) is not None]
    scorers: list[BenchmarkScorer] = [*plain_scorers]
    if transitions:
        ranking = make_random_ranking(model, transitions)
        scorers += [ScorerWithMemory(scorer, ranking) for scorer in plain_scorers]
    queries = {size: torch.randn(size, dim, generator=torch.Generator().manual_seed(size)) for size in batches}
    timings = _time_scorers(form, model, scorers, queries, rounds, mask)
    if approximate and form != "adaptive" and has_faiss():
        near = cluster_items(model)
        if (scorer := _build_approximate_scorer(model, near)) is not None:
            timings += _time_scorers(form, model, [scorer], {size: near[:size] for size in batches}, rounds, mask)
    return timings


class ScorerWithMemory:
    """A scorer followed by the candidates of a transition memory, whose rows count as its additional bytes."""

    def __init__(self, scorer: Scorer, ranking: TransitionRanking) -> None:
        self._scorer, self._ranking = scorer, ranking
        self.name = f"{scorer.name} + memory"
        self.nbytes = scorer.nbytes + ranking.nbytes

    def describe(self) -> dict[str, str | bool | int | float]:
        return self._scorer.describe()

    def find_top_k(self, hidden: Tensor, k: int, item_filter: ItemFilter) -> TopK:
        top = self._scorer.find_top_k(hidden, k, item_filter)
        histories = item_filter.excluded
        assert histories is not None
        return self._ranking.rerank(top, histories, hidden, item_filter)


BenchmarkScorer = Scorer | ScorerWithMemory


def make_random_ranking(model: SequentialRecommender, num_followers: int) -> TransitionRanking:
    """Random followers with falling probabilities, and weights as of a trained `blossom`."""
    num_items = model.embedding.num_items
    memory = TransitionMemory(num_items, model.config.dim, num_followers)
    rng = np.random.default_rng(0)
    followers = rng.integers(1, num_items + 1, (num_items + 1, num_followers))
    shares = np.broadcast_to(0.2 / np.arange(1, num_followers + 1), followers.shape)
    memory.store(followers, shares, rng.integers(5, 500, num_items + 1).astype(np.float64))
    memory.gate[0, :LOOKBACK] = -torch.arange(1.0, LOOKBACK + 1).log() - 1
    memory.damping.fill_(0.3)
    memory.normalizer_out[0, 0] = 0.3 * math.log(num_items)
    ranking = TransitionRanking(model, memory)
    ranking.use_native()
    return ranking


def build_random_model(form: str, items: int, dim: int) -> SequentialRecommender:
    embedding, head = FORMS[form]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ModelConfig(embedding, Part("none"), Part(head), dim=dim, max_len=1, dropout=0.0), items)
        for name, weights in model.state_dict(keep_vars=True).items():
            if name == "embedding.kept":
                weights.random_(0, 256)
            elif weights.is_floating_point():
                weights.normal_(std=STD)
    return model.eval()


def cluster_items(model: SequentialRecommender) -> Tensor:
    """Move the items towards cluster centers, in place, and return (QUERIES, dim) queries near items."""
    generator = torch.Generator().manual_seed(1)
    embedding = model.embedding
    if isinstance(embedding, CodesEmbedding):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            fill_codes(embedding, compute_cluster_count(embedding.num_items))
        near = embedding.table(torch.randint(1, embedding.num_items + 1, (QUERIES,), generator=generator))
        return near + NOISE * near.std() * torch.randn(near.shape, generator=generator)
    table = embedding.table()
    centers = torch.randn(int(len(table) ** 0.5), table.shape[1], generator=generator)
    for rows in torch.arange(len(table)).split(CHUNK):
        table[rows] += centers[torch.randint(0, len(centers), (len(rows),), generator=generator)]
    near = table[torch.randint(1, len(table), (QUERIES,), generator=generator)]
    return near + NOISE * torch.randn(near.shape, generator=generator)


def _build_approximate_scorer(model: SequentialRecommender, near: Tensor) -> Scorer | None:
    exact = select_scorers(model).large
    index = build_index(model, near, exact)
    return None if index is None else make_approximate_scorer(model, index, exact)


def _time_scorers(
    form: str,
    model: SequentialRecommender,
    scorers: Sequence[BenchmarkScorer],
    queries: dict[int, Tensor],
    rounds: int,
    mask: Mask | None,
) -> list[ScorerTiming]:
    items = model.embedding.num_items
    weights_bytes = _count_bytes(model, "head") or _count_bytes(model, "embedding")
    timings = []
    for size, hidden in queries.items():
        rng = np.random.default_rng(size)
        excluded = [rng.integers(1, items + 1, NUM_EXCLUDED) for _ in range(size)]
        item_filter = partial(ItemFilter, items, excluded, None if mask is None else [mask] * size)
        runs = {scorer.name: partial(_time_scorer, scorer, hidden, items, item_filter) for scorer in scorers}
        seconds_by_scorer = run_interleaved(runs, rounds + 1)  # the first round is a warm-up
        for scorer in scorers:
            ms = [1e3 * seconds for seconds in seconds_by_scorer[scorer.name][1:]]
            timings.append(
                ScorerTiming(
                    form=form,
                    scorer=scorer.name,
                    items=items,
                    batch=size,
                    ms=round(median(ms), 3),
                    least_ms=round(min(ms), 3),
                    weights_bytes=weights_bytes,
                    kept_bytes=scorer.nbytes,
                    recall=float(scorer.describe().get("recall@10", 1.0)),
                )
            )
    return timings


def _time_scorer(scorer: BenchmarkScorer, hidden: Tensor, items: int, make_filter: Callable[[], ItemFilter]) -> float:
    started_at = time.perf_counter()
    scorer.find_top_k(hidden, min(K, items), make_filter())
    return time.perf_counter() - started_at


def _count_bytes(model: SequentialRecommender, part: str) -> int:
    return sum(weights.nbytes for name, weights in model.state_dict().items() if name.startswith(part))


def format_scoring_table(timings: Sequence[ScorerTiming]) -> str:
    rows = [
        (
            timing.form,
            timing.scorer,
            f"{timing.items:,}",
            str(timing.batch),
            format_number(timing.ms, 3),
            format_number(timing.least_ms, 3),
            format_number(timing.weights_bytes / 1e6),
            format_number(timing.kept_bytes / 1e6),
            format_number(timing.recall, 3),
        )
        for timing in timings
    ]
    return format_text_table(HEAD, rows)
