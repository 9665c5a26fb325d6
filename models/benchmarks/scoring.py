"""Every way of scoring on tables made up at random, timed in turn: what `nextup bench score` is made of.

Hidden vectors and item vectors are normal. For the approximate scorer that is the hardest case, as random vectors have
no neighbourhoods, so items there stand around √items centres and queries stand near items.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor

from models.benchmarks.synthetic_model import compute_cluster_count, fill_codes
from models.build import build_model
from models.config import ModelConfig, Part
from models.embeddings.codes import CodesEmbedding
from models.recommender import SequentialRecommender
from models.scorers.ann.indexes import build_index, make_approximate_scorer
from models.scorers.ann.ivf_index import has_faiss
from models.scorers.base import Scorer
from models.scorers.filter import ItemFilter
from models.scorers.selection import EXACT_SCORERS, NUM_EXCLUDED, K, select_scorers, time_batch

FORMS: dict[str, tuple[Part, str]] = {  # what is scored: embedding and head
    "full": (Part("full"), "tied"),
    "codes": (Part("codes"), "tied"),
    "adaptive": (Part("codes"), "adaptive"),  # its head does not read the embedding, so a small one will do
}
QUERIES = 200
NOISE = 0.3
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class ScorerTiming:
    """`ms` per batch, the median of the rounds; `bytes` of the form's weights and of what the scorer keeps besides."""

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
    form: str, items: int, batches: Sequence[int], rounds: int, dim: int, *, approximate: bool
) -> list[ScorerTiming]:
    """One line per scorer that fits the form, and batch size; histories deny `NUM_EXCLUDED` items each."""
    model = build_random_model(form, items, dim)
    scorers = [scorer for kind in EXACT_SCORERS if (scorer := kind.for_model(model)) is not None]
    queries = {size: torch.randn(size, dim, generator=torch.Generator().manual_seed(size)) for size in batches}
    found = _timed_in_turn(form, model, scorers, queries, rounds)
    if approximate and form != "adaptive" and has_faiss():
        near = cluster_items(model)
        if (scorer := _approximate(model, near)) is not None:
            found += _timed_in_turn(form, model, [scorer], {size: near[:size] for size in batches}, rounds)
    return found


def build_random_model(form: str, items: int, dim: int) -> SequentialRecommender:
    embedding, head = FORMS[form]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ModelConfig(embedding, Part("none"), Part(head), dim=dim, max_len=1, dropout=0.0), items)
        for name, weights in model.state_dict(keep_vars=True).items():
            if name == "embedding.kept":
                weights.random_(0, 256)
            elif weights.is_floating_point():
                weights.normal_(std=0.3)
    return model.eval()


def cluster_items(model: SequentialRecommender) -> Tensor:
    """Move the items to centres, in place; (QUERIES, dim) queries near items."""
    generator = torch.Generator().manual_seed(1)
    embedding = model.embedding
    if isinstance(embedding, CodesEmbedding):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            fill_codes(embedding, compute_cluster_count(embedding.num_items))
        near = embedding.table(torch.randint(1, embedding.num_items + 1, (QUERIES,), generator=generator))
        return near + NOISE * near.std() * torch.randn(near.shape, generator=generator)
    table = embedding.table()
    centres = torch.randn(int(len(table) ** 0.5), table.shape[1], generator=generator)
    for rows in torch.arange(len(table)).split(CHUNK):
        table[rows] += centres[torch.randint(0, len(centres), (len(rows),), generator=generator)]
    near = table[torch.randint(1, len(table), (QUERIES,), generator=generator)]
    return near + NOISE * torch.randn(near.shape, generator=generator)


def _approximate(model: SequentialRecommender, near: Tensor) -> Scorer | None:
    exact = select_scorers(model).large
    index = build_index(model, near, exact)
    return None if index is None else make_approximate_scorer(model, index, exact)


def _timed_in_turn(
    form: str, model: SequentialRecommender, scorers: Sequence[Scorer], queries: dict[int, Tensor], rounds: int
) -> list[ScorerTiming]:
    items = model.embedding.num_items
    head = sum(weights.nbytes for name, weights in model.state_dict().items() if name.startswith("head"))
    embedding = sum(weights.nbytes for name, weights in model.state_dict().items() if name.startswith("embedding"))
    found = []
    for size, hidden in queries.items():
        rng = np.random.default_rng(size)
        excluded = [rng.integers(1, items + 1, NUM_EXCLUDED) for _ in range(size)]
        times: dict[str, list[float]] = {scorer.name: [] for scorer in scorers}
        for turn in range(rounds + 1):  # the first only warms up
            for scorer in scorers:
                took = time_batch(scorer, hidden, min(K, items), ItemFilter(items, excluded))
                if turn:
                    times[scorer.name].append(1e3 * took)
        for scorer in scorers:
            told = scorer.describe()
            found.append(
                ScorerTiming(
                    form=form,
                    scorer=scorer.name,
                    items=items,
                    batch=size,
                    ms=round(median(times[scorer.name]), 3),
                    least_ms=round(min(times[scorer.name]), 3),
                    weights_bytes=head or embedding,
                    kept_bytes=scorer.nbytes,
                    recall=float(told.get("recall@10", 1.0)),
                )
            )
    return found


def table(rows: Sequence[ScorerTiming]) -> str:
    head = f"{'form':<10}{'scorer':<15}{'items':>12}{'batch':>7}"
    head += f"{'ms':>11}{'least ms':>11}{'MB':>9}{'kept MB':>9}{'recall':>8}"
    return "\n".join([head, *map(_shown, rows)])


def figures(rows: Sequence[ScorerTiming]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]


def _shown(row: ScorerTiming) -> str:
    sizes = f"{row.weights_bytes / 1e6:>9.1f}{row.kept_bytes / 1e6:>9.1f}"
    times = f"{row.ms:>11.3f}{row.least_ms:>11.3f}"
    return f"{row.form:<10}{row.scorer:<15}{row.items:>12,}{row.batch:>7}{times}{sizes}{row.recall:>8.3f}"
