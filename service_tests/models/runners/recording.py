"""Captures of this machine, a capture that counts, and models on devices with little memory."""

import pytest
import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.runners.captures import Capture, Computation, CudaGraphs, Eager

ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
DEVICES = [pytest.param("cpu", id="eager"), pytest.param("cuda", id="graphs", marks=[ON_CUDA, pytest.mark.optional])]


def make_capture(device: torch.device) -> Capture:
    return CudaGraphs(device) if device.type == "cuda" else Eager()


class CountingCapture:
    """Notes the rows of recordings and replays; runs out of memory above `max_rows`.

    As with a CUDA graph, a result is always in the same memory.
    """

    name = "counting"

    def __init__(self, max_rows: int = 1 << 30) -> None:
        self.max_rows = max_rows
        self.recorded: list[int] = []
        self.replayed: list[int] = []

    def __call__(self, computation: Computation) -> Computation:
        result = computation()
        rows = len(result)
        self.recorded.append(rows)
        if rows > self.max_rows:
            raise torch.OutOfMemoryError("out of memory while recording")

        def replay() -> Tensor:
            self.replayed.append(rows)
            return result.copy_(computation())

        return replay


def limit_memory(model: SequentialRecommender, max_cells: int) -> list[tuple[int, int]]:
    """Make larger batches run out of memory, and return the list of attempted shapes."""
    shapes: list[tuple[int, int]] = []

    def check(_: object, arguments: tuple[object, ...]) -> None:
        shape = arguments[0].items.shape  # type: ignore[attr-defined]
        shapes.append((shape[0], shape[1]))
        if shape[0] * shape[1] > max_cells:
            raise torch.OutOfMemoryError("full")

    model.embedding.register_forward_pre_hook(check)
    return shapes
