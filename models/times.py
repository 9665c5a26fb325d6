"""Times of events: seconds since 1970 as the store keeps them, and what a model may read from them.

Before March 1973 (10^8 seconds) there are no real times: logs whose times only say an order count 0, 1, 2, …, and the
zeros of a log mean that nobody knows. What u32 cannot hold is clipped and no time either. Logs and stored histories go
through the same rule, so an event has the same hour and the same interval in training and in the service.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.batch import Times

FIRST_SECOND = 100_000_000
LAST_SECOND = 2**32 - 2
NO_HOUR = 24
NO_INTERVAL = 0
NUM_INTERVALS = 34
"""Numbers of intervals: none, the same second, and one for each power of two that u32 has."""


def to_stored_times(seconds: NDArray[np.integer[Any]]) -> Times:
    """(n,) Unix times → (n,) as the store would keep them."""
    kept: Times = np.clip(seconds, 0, LAST_SECOND + 1).astype(np.uint32)
    return kept


def compute_hours(times: Tensor) -> Tensor:
    """(…,) times → (…,) hours in UTC, 0 to 23, and NO_HOUR for what is no time."""
    return (times // 3600 % 24).masked_fill(~_are_real(times), NO_HOUR)


def compute_intervals(times: Tensor) -> Tensor:
    """(B, T) times → (B, T) how long before each event the one in front of it was.

    1 stands for the same second (and for a time that goes back), 2 + n for 2^n to 2^(n + 1) − 1 seconds, NO_INTERVAL
    for the first event and where one of the two times is none.
    """
    seconds = (times[:, 1:] - times[:, :-1]).clamp_min(0)
    numbers = torch.frexp(seconds.double()).exponent.long() + 1  # exact where a logarithm may round
    known = _are_real(times)
    numbers = numbers.masked_fill(~(known[:, 1:] & known[:, :-1]), NO_INTERVAL)
    return torch.cat((torch.full_like(times[:, :1], NO_INTERVAL), numbers), dim=1)


def _are_real(times: Tensor) -> Tensor:
    return (times >= FIRST_SECOND) & (times <= LAST_SECOND)
