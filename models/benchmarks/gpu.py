"""Encoding and scoring on one device, each beside the least time the device could take: `nextup bench gpu`.

A floor counts what no way of doing it can save: weights and item rows read once, and the products of the arithmetic
that is written down in models/. What fits into the device's cache may beat the floor of its memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from models.batch import History
from models.benchmarks.flops import count_operations
from models.benchmarks.roofline import Ceilings, DeviceWork, median_seconds
from models.benchmarks.scoring import build_random_model
from models.benchmarks.tables import format_number, format_text_table
from models.build import build_model
from models.embeddings.codes import CodesEmbedding
from models.presets import preset
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.captures import CudaGraphs, Eager
from models.runners.cuda_runner import CudaRunner
from models.runners.torch_runner import TorchRunner
from models.scorers.base import Scorer
from models.scorers.exact.grouped import GroupedScorer
from models.scorers.filter import Indices, ItemFilter
from models.scorers.selection import EXACT_SCORERS, NUM_EXCLUDED, K
from models.scorers.vectors import ItemVectors

PRESETS = ("blossom", "sasrec")
FORMS = ("full", "codes")
FLOAT = 4
HEAD = ("what", "who", "items", "length", "batch", "ms", "floor ms", "bound", "of roofline")


@dataclass(frozen=True, slots=True)
class GpuCase:
    """`ms` None: out of memory. `share` of the floor in what was measured: 1 is as fast as the device can."""

    what: str
    who: str
    items: int
    length: int | None
    batch: int
    ms: float | None
    floor_ms: float
    bound: str
    share: float | None


def measure_encoding(
    device: torch.device, ceilings: Ceilings, items: int, lengths: Sequence[int], batches: Sequence[int], rounds: int
) -> Iterator[GpuCase]:
    """Both presets, by plain torch and by recorded graphs in float32 and bf16; from histories to finished vectors."""
    for name in PRESETS:
        torch.manual_seed(0)
        model = build_model(preset(name), items).to(device).eval()
        capture = CudaGraphs(device) if device.type == "cuda" else Eager()
        runners: dict[torch.dtype, list[Runner]] = {
            torch.float32: [TorchRunner(model, device), CudaRunner(model, device, capture=capture)],
            torch.bfloat16: [CudaRunner(model, device, dtype=torch.bfloat16, capture=capture)],
        }
        for length in lengths:
            for batch in batches:
                histories = list(np.random.default_rng(0).integers(1, items + 1, (batch, length)))
                for dtype, of_type in runners.items():
                    work = _encoding(model, batch, min(length, model.config.max_len), dtype)
                    for runner in of_type:
                        seconds = _seconds(_encode(runner, histories), device, rounds)
                        yield _case((f"encode {name}", runner.name, items, length, batch), work, ceilings, seconds)


def measure_scoring(
    device: torch.device, ceilings: Ceilings, sizes: Sequence[int], batches: Sequence[int], dim: int, rounds: int
) -> Iterator[GpuCase]:
    """Every exact scorer that the device has; histories deny `NUM_EXCLUDED` items each."""
    for items in sizes:
        for form in FORMS:
            with device, torch.no_grad():
                model = build_random_model(form, items, dim)
            scorers = [scorer for kind in EXACT_SCORERS if (scorer := kind.for_model(model)) is not None]
            if device.type != "cuda":  # which offers it to GPUs alone
                scorers.append(GroupedScorer(ItemVectors(model)))
            for batch in batches:
                rng = np.random.default_rng(batch)
                excluded = [rng.integers(1, items + 1, NUM_EXCLUDED) for _ in range(batch)]
                hidden = torch.randn(batch, dim, generator=torch.Generator().manual_seed(batch)).to(device)
                work = _scoring(model, batch)
                for scorer in scorers:
                    seconds = _seconds(_score(scorer, hidden, items, excluded), device, rounds)
                    yield _case((f"score {form}", scorer.name, items, None, batch), work, ceilings, seconds)


def table(cases: Sequence[GpuCase]) -> str:
    rows = [
        (
            case.what,
            case.who,
            f"{case.items:,}",
            "-" if case.length is None else str(case.length),
            str(case.batch),
            "no memory" if case.ms is None else format_number(case.ms, 3),
            format_number(case.floor_ms, 4),
            case.bound,
            "-" if case.share is None else f"{case.share:.1%}",
        )
        for case in cases
    ]
    return format_text_table(HEAD, rows)


def figures(cases: Sequence[GpuCase]) -> list[dict[str, object]]:
    return [asdict(case) for case in cases]


def _case(
    named: tuple[str, str, int, int | None, int], work: DeviceWork, ceilings: Ceilings, seconds: float | None
) -> GpuCase:
    floor_s = ceilings.compute_floor_s(work)
    return GpuCase(
        *named,
        ms=None if seconds is None else round(1e3 * seconds, 4),
        floor_ms=round(1e3 * floor_s, 6),
        bound=ceilings.bound(work),
        share=None if seconds is None else round(floor_s / seconds, 4),
    )


@torch.inference_mode()
def _seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float | None:
    """None if the device has not the memory for it."""
    try:
        return median_seconds(call, device, rounds=rounds)
    except torch.OutOfMemoryError:
        return None


def _encode(runner: Runner, histories: Sequence[History]) -> Callable[[], object]:
    return lambda: runner.encode(histories)


def _score(scorer: Scorer, hidden: Tensor, items: int, excluded: Sequence[Indices]) -> Callable[[], object]:
    return lambda: scorer.find_top_k(hidden, min(K, items), ItemFilter(items, excluded))


def _encoding(model: SequentialRecommender, batch: int, length: int, dtype: torch.dtype) -> DeviceWork:
    """The encoder's weights, a row of the table and a number for each item, and the hidden vectors."""
    weights = sum(weight.numel() for weight in model.encoder.parameters()) * dtype.itemsize
    row = _table_bytes(model) // (model.embedding.num_items + 1)
    moved = weights + batch * length * (row + 8) + batch * model.config.dim * FLOAT
    return DeviceWork(moved, batch * count_operations(model, length), dtype)


def _scoring(model: SequentialRecommender, batch: int) -> DeviceWork:
    """The table or its codes, the queries, the answers; a product with every item's vector, coded or not."""
    dim, items = model.config.dim, model.embedding.num_items
    answers = batch * min(K, items) * (8 + FLOAT)
    return DeviceWork(_table_bytes(model) + batch * dim * FLOAT + answers, 2 * batch * items * dim)


def _table_bytes(model: SequentialRecommender) -> int:
    embedding = model.embedding
    if isinstance(embedding, CodesEmbedding):
        return embedding.kept.nbytes + embedding.pieces.weight.nbytes
    return embedding.table().nbytes
