"""Process ranks of one distributed training run, and the collectives between them.

Uses torch.distributed: gloo for host memory, NCCL for GPU memory. A single process uses the same interface without any
communication. Received data is never unpickled, and every wait is bounded by the group's timeout.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

Value = TypeVar("Value")

FIRST_RANK = 0


class PeerLost(ConnectionError):
    """Another rank exited or did not respond within the timeout."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of this process, 0 to `size` − 1, and the collectives of the group.

    All ranks must call the same methods in the same order. Every collective raises PeerLost if a rank is missing.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank decides, writes files and prints."""
        return self.rank == FIRST_RANK

    @property
    def shard(self) -> slice:
        """Every `size`-th element from `rank` on: if neighbors have similar costs, so do shards. May be empty."""
        return slice(self.rank, None, self.size)

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        """Replace the tensor, in place, by its sum over the ranks: identical bits everywhere, exact for integers."""
        if self.size > 1:
            run_collective(lambda: dist.all_reduce(tensor))
        return tensor

    def all_reduce_array_(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        self.all_reduce_(torch.from_numpy(array))
        return array

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the first rank; shapes must match."""
        if self.size > 1:
            run_collective(lambda: [dist.broadcast(tensor, FIRST_RANK) for tensor in tensors])

    def broadcast_object(self, value: Value) -> Value:
        """Return the first rank's value, which must survive a JSON round trip."""
        if self.size == 1:
            return value
        return cast("Value", json.loads(self.broadcast_bytes(json.dumps(value).encode())))

    def broadcast_bytes(self, data: bytes) -> bytes:
        if self.size == 1:
            return data
        length = torch.tensor([len(data)])
        self.broadcast_([length])
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.is_first:
            buffer.numpy()[:] = np.frombuffer(data, np.uint8)
        self.broadcast_([buffer])
        return buffer.numpy().tobytes()

    def assert_equal_across_ranks(self, name: str, value: str) -> None:
        """Raise ValueError on every rank if values differ; the error lists the ranks that differ from the first."""
        if self.size == 1:
            return
        differs = torch.zeros(self.size, dtype=torch.int64)
        differs[self.rank] = self.broadcast_object(value) != value
        if numbers := ", ".join(str(rank) for rank in self.all_reduce_(differs).nonzero().flatten().tolist()):
            raise ValueError(f"{name} of rank {numbers} differ from those of rank {FIRST_RANK}")


def run_collective(call: Callable[[], object]) -> None:
    """Run a collective and turn errors of gloo and NCCL into PeerLost, without gloo's source line.

    The original error is not chained: its frames hold the process group, whose threads must end before the process.
    """
    try:
        call()
    except RuntimeError as error:
        reason = str(error).split("] ", 1)[-1].split(". ")[0]
    else:
        return
    raise PeerLost(f"another rank ended or did not answer in time: {reason}")


SINGLE_PROCESS = Ranks()
