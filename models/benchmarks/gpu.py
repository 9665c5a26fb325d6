"""Encoding and scoring on one device, compared with its roofline: `nextup bench gpu`.

A floor counts unavoidable work: weights and item rows read once, and the products of the arithmetic in models/. Data
that fits in the device's cache may beat the memory floor.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from models.benchmarks.flops import count_operations
from models.benchmarks.roofline import Ceilings, DeviceWork, measure_device_seconds
from models.benchmarks.scoring import build_random_model
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
from models.text_table import format_number, format_text_table

PRESETS = ("blossom", "sasrec")
FORMS = ("full", "codes")
FLOAT_BYTES, INDEX_BYTES = 4, 8
HEAD = ("what", "who", "items", "length", "batch", "ms", "floor ms", "bound", "of roofline")


@dataclass(frozen=True, slots=True)
class GpuCase:
    """One operation at one size.

    `ms` is None if it ran out of memory. `floor_share` is floor by measured time: 1 is as fast as the device can be.
    """

    operation: str
    implementation: str
    items: int
    length: int | None
    batch: int
    ms: float | None
    floor_ms: float
    bound: str
    floor_share: float | None

    def to_dict(self) -> dict[str, object]:
        return {
            "what": self.operation,
            "who": self.implementation,
            "items": self.items,
            "length": self.length,
            "batch": self.batch,
            "ms": self.ms,
            "floor_ms": self.floor_ms,
            "bound": self.bound,
            "share": self.floor_share,
        }


def measure_encoding(
    device: torch.device, ceilings: Ceilings, items: int, lengths: Sequence[int], batches: Sequence[int], rounds: int
) -> Iterator[GpuCase]:
    """Measure both presets with plain torch and CUDA graphs in float32 and bf16, from histories to vectors."""
    for name in PRESETS:
        torch.manual_seed(0)
        model = build_model(preset(name), items).to(device).eval()
        capture = CudaGraphs(device) if device.type == "cuda" else Eager()
        runners: list[tuple[torch.dtype, Runner]] = [
            (torch.float32, TorchRunner(model, device)),
            (torch.float32, CudaRunner(model, device, capture=capture)),
            (torch.bfloat16, CudaRunner(model, device, dtype=torch.bfloat16, capture=capture)),
        ]
        for length in lengths:
            for batch in batches:
                histories = list(np.random.default_rng(0).integers(1, items + 1, (batch, length)))
                for dtype, runner in runners:
                    work = _estimate_encoding(model, batch, min(length, model.config.max_len), dtype)
                    seconds = _measure_seconds(partial(runner.encode, histories), device, rounds)
                    yield _make_case((f"encode {name}", runner.name, items, length, batch), work, ceilings, seconds)


def measure_scoring(
    device: torch.device, ceilings: Ceilings, sizes: Sequence[int], batches: Sequence[int], dim: int, rounds: int
) -> Iterator[GpuCase]:
    """Measure every exact scorer of the device; each history excludes `NUM_EXCLUDED` items."""
    for items in sizes:
        for form in FORMS:
            with device, torch.no_grad():
                model = build_random_model(form, items, dim)
            scorers = [scorer for kind in EXACT_SCORERS if (scorer := kind.for_model(model)) is not None]
            if device.type != "cuda":  # `for_model` offers it on GPUs only
                scorers.append(GroupedScorer(ItemVectors(model)))
            for batch in batches:
                rng = np.random.default_rng(batch)
                excluded = [rng.integers(1, items + 1, NUM_EXCLUDED) for _ in range(batch)]
                hidden = torch.randn(batch, dim, generator=torch.Generator().manual_seed(batch)).to(device)
                work = _estimate_scoring(model, batch)
                for scorer in scorers:
                    seconds = _measure_seconds(_make_query(scorer, hidden, items, excluded), device, rounds)
                    yield _make_case((f"score {form}", scorer.name, items, None, batch), work, ceilings, seconds)


def format_gpu_table(cases: Sequence[GpuCase]) -> str:
    rows = [
        (
            case.operation,
            case.implementation,
            f"{case.items:,}",
            "-" if case.length is None else str(case.length),
            str(case.batch),
            "no memory" if case.ms is None else format_number(case.ms, 3),
            format_number(case.floor_ms, 4),
            case.bound,
            "-" if case.floor_share is None else f"{case.floor_share:.1%}",
        )
        for case in cases
    ]
    return format_text_table(HEAD, rows)


def _make_case(
    labels: tuple[str, str, int, int | None, int], work: DeviceWork, ceilings: Ceilings, seconds: float | None
) -> GpuCase:
    floor_s = ceilings.compute_floor_s(work)
    return GpuCase(
        *labels,
        ms=None if seconds is None else round(1e3 * seconds, 4),
        floor_ms=round(1e3 * floor_s, 6),
        bound=ceilings.find_bound(work),
        floor_share=None if seconds is None else round(floor_s / seconds, 4),
    )


@torch.inference_mode()
def _measure_seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float | None:
    """Return None if the device runs out of memory."""
    try:
        return measure_device_seconds(call, device, rounds=rounds)
    except torch.OutOfMemoryError:
        return None


def _make_query(scorer: Scorer, hidden: Tensor, items: int, excluded: Sequence[Indices]) -> Callable[[], object]:
    return lambda: scorer.find_top_k(hidden, min(K, items), ItemFilter(items, excluded))


def _estimate_encoding(model: SequentialRecommender, batch: int, length: int, dtype: torch.dtype) -> DeviceWork:
    """Count the encoder's weights, a table row and an index per item, and the hidden vectors."""
    weights = sum(weight.numel() for weight in model.encoder.parameters()) * dtype.itemsize
    row = _count_table_bytes(model) // (model.embedding.num_items + 1)
    moved = weights + batch * length * (row + INDEX_BYTES) + batch * model.config.dim * FLOAT_BYTES
    return DeviceWork(moved, batch * count_operations(model, length), dtype)


def _estimate_scoring(model: SequentialRecommender, batch: int) -> DeviceWork:
    """Count the table or its codes, queries and results, and a product with every item vector, coded or not."""
    dim, items = model.config.dim, model.embedding.num_items
    results = batch * min(K, items) * (INDEX_BYTES + FLOAT_BYTES)
    return DeviceWork(_count_table_bytes(model) + batch * dim * FLOAT_BYTES + results, 2 * batch * items * dim)


def _count_table_bytes(model: SequentialRecommender) -> int:
    embedding = model.embedding
    if isinstance(embedding, CodesEmbedding):
        return embedding.kept.nbytes + embedding.pieces.weight.nbytes
    return embedding.table().nbytes
