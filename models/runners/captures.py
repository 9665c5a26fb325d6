"""Work that is recorded once and then repeated: as a CUDA graph on a GPU, by calling it again everywhere else.

What is recorded reads and writes the same memory every time. It knows no batch and no model.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Work = Callable[[], Tensor]

WARM_UPS = 2
"""Before a recording, so that libraries have loaded, chosen their kernels and taken their workspace."""


class Capture(Protocol):
    name: str

    def __call__(self, work: Work) -> Work:
        """What repeats the work. RuntimeError where it cannot be recorded, torch.OutOfMemoryError among them.

        The tensor it returns may be the same every time, and is overwritten by the next repetition of anything that was
        recorded here.
        """
        ...


class Eager:
    """Records nothing."""

    name = "eager"

    def __call__(self, work: Work) -> Work:
        return work


class CudaGraphs:
    """All graphs share one pool of memory: the largest needs its room, the others fit into it.

    That is sound because they run one after the other on one stream, and results are copied before the next one runs.
    """

    name = "CUDA graphs"

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        with torch.cuda.device(self._device):
            aside, here = torch.cuda.Stream(), torch.cuda.current_stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    work()
            here.wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # Another thread may load the next version meanwhile: what it does is not recorded, and is not forbidden.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                found = work()

        def repeat() -> Tensor:
            graph.replay()
            return found

        return repeat
