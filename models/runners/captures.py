"""Records a computation once and replays it: as a CUDA graph on a GPU, by calling it again elsewhere.

A recorded computation reads and writes the same memory every time.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

Computation = Callable[[], Tensor]

WARM_UPS = 2
"""Runs before a recording, so that libraries have loaded, selected kernels and allocated workspaces."""


class Capture(Protocol):
    """A way to record computations."""

    name: str

    def __call__(self, computation: Computation) -> Computation:
        """Return a function that replays the computation.

        Raises RuntimeError if it cannot be recorded, torch.OutOfMemoryError included. The returned tensor may be the
        same every time, overwritten by the next replay of anything that this capture recorded.
        """
        ...


class Eager:
    """Records nothing: replays by calling."""

    name = "eager"

    def __call__(self, computation: Computation) -> Computation:
        return computation


class CudaGraphs:
    """Records CUDA graphs in one shared memory pool, which is as large as the largest graph needs.

    Sharing is safe because graphs run one after the other on one stream, and results are copied before the next replay.
    """

    name = "CUDA graphs"

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, computation: Computation) -> Computation:
        with torch.cuda.device(self._device):
            side_stream, main_stream = torch.cuda.Stream(), torch.cuda.current_stream()
            side_stream.wait_stream(main_stream)
            with torch.cuda.stream(side_stream):
                for _ in range(WARM_UPS):
                    computation()
            main_stream.wait_stream(side_stream)
            graph = torch.cuda.CUDAGraph()
            # Thread-local: another thread may load the next version meanwhile, which is neither recorded nor forbidden.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                result = computation()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay
