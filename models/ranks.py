"""Processes that work on one model together, and all that they tell each other: sums, and what the first one decided.

Collectives of torch.distributed: gloo for what is in the host's memory, NCCL for what is on a GPU. One process alone is
the same object with nobody to wait for. Nothing that is sent is ever unpickled, and no wait is longer than the group
was opened with. It knows no model; how processes find each other is in models/training/launch.py.
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

Thing = TypeVar("Thing")

FIRST_RANK = 0


class PeerLost(ConnectionError):
    """Another process ended, or did not come within the time that was set."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """`rank`, from 0 to `size` − 1, is this process. All ranks call the same methods in the same order.

    A method raises PeerLost where another rank does not come to it.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """The one that decides, writes and speaks."""
        return self.rank == FIRST_RANK

    @property
    def shard(self) -> slice:
        """Every `size`-th, beginning with the `rank`-th: where neighbours cost alike, shares do too. May be empty."""
        return slice(self.rank, None, self.size)

    def all_reduce_(self, tensor: Tensor) -> Tensor:
        """Replace it, on every rank, by its sum over the ranks: the same bits everywhere, exact for integers."""
        if self.size > 1:
            run_collective(lambda: dist.all_reduce(tensor))
        return tensor

    def all_reduce_array_(self, array: NDArray[np.int64]) -> NDArray[np.int64]:
        self.all_reduce_(torch.from_numpy(array))
        return array

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite them with what they are on the first rank; shapes are the same everywhere."""
        if self.size > 1:
            run_collective(lambda: [dist.broadcast(tensor, FIRST_RANK) for tensor in tensors])

    def broadcast_object(self, value: Thing) -> Thing:
        """What the first rank gave; anything that JSON keeps as it is."""
        if self.size == 1:
            return value
        return cast("Thing", json.loads(self.broadcast_bytes(json.dumps(value).encode())))

    def broadcast_bytes(self, data: bytes) -> bytes:
        if self.size == 1:
            return data
        length = torch.tensor([len(data)])
        self.broadcast_([length])
        sent = torch.empty(int(length), dtype=torch.uint8)
        if self.is_first:
            sent.numpy()[:] = np.frombuffer(data, np.uint8)
        self.broadcast_([sent])
        return sent.numpy().tobytes()

    def assert_equal_across_ranks(self, what: str, value: str) -> None:
        """ValueError on every rank, with the numbers of those whose value is not the first one's."""
        if self.size == 1:
            return
        others = torch.zeros(self.size, dtype=torch.int64)
        others[self.rank] = self.broadcast_object(value) != value
        if named := ", ".join(str(rank) for rank in self.all_reduce_(others).nonzero().flatten().tolist()):
            raise ValueError(f"{what} of rank {named} differ from those of rank {FIRST_RANK}")


def run_collective(call: Callable[[], object]) -> None:
    """PeerLost for what gloo and NCCL raise, without the source line that gloo begins with.

    Not as its cause: the frames of that error hold the group, whose threads must be gone before the process ends.
    """
    try:
        call()
    except RuntimeError as error:
        reason = str(error).split("] ", 1)[-1].split(". ")[0]
    else:
        return
    raise PeerLost(f"another rank ended or did not answer in time: {reason}")


SINGLE_PROCESS = Ranks()
