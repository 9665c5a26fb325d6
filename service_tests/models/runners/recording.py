"""Ways of recording work that this machine has, one that counts, and models on devices with little memory."""

import pytest
import torch
from torch import Tensor

from models.recommender import SequentialRecommender
from models.runners.captures import Capture, CudaGraphs, Eager, Work

ON_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
DEVICES = [pytest.param("cpu", id="eager"), pytest.param("cuda", id="graphs", marks=ON_CUDA)]


def capture_on(device: torch.device) -> Capture:
    return CudaGraphs(device) if device.type == "cuda" else Eager()


class Counting:
    """Notes the rows of what it records and repeats; refuses to record more rows than `room`, out of memory.

    As a graph's, a result always lies in the same memory.
    """

    name = "counting"

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.recorded: list[int] = []
        self.repeated: list[int] = []

    def __call__(self, work: Work) -> Work:
        result = work()
        rows = len(result)
        self.recorded.append(rows)
        if rows > self.room:
            raise torch.OutOfMemoryError("no room for a recording")

        def repeat() -> Tensor:
            self.repeated.append(rows)
            return result.copy_(work())

        return repeat


def give_room(model: SequentialRecommender, cells: int) -> list[tuple[int, int]]:
    """From now on batches of more cells are out of memory; the shapes that are tried, as they come."""
    tried: list[tuple[int, int]] = []

    def check(_: object, given: tuple[object, ...]) -> None:
        shape = given[0].items.shape  # type: ignore[attr-defined]
        tried.append((shape[0], shape[1]))
        if shape[0] * shape[1] > cells:
            raise torch.OutOfMemoryError("full")

    model.embedding.register_forward_pre_hook(check)
    return tried
