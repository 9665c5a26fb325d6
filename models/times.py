"""Event times: seconds since 1970 as the store keeps them, and the features that models derive from them.

Times before March 1973 (10^8 seconds) are not real: logs whose times only give an order count 0, 1, 2, …, and zeros
mean unknown. Times outside u32 are clipped and count as unknown. Logs and stored histories follow the same rule, so an
event has the same hour and interval in training and in the service.
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
"""Interval classes: none, the same second, and one per power of two in u32."""


def to_stored_times(seconds: NDArray[np.integer[Any]]) -> Times:
    """Clip Unix times to the u32 range of the store: (n,) → (n,)."""
    times: Times = np.clip(seconds, 0, LAST_SECOND + 1).astype(np.uint32)
    return times


def compute_hours(times: Tensor) -> Tensor:
    """(…,) times → (…,) hours in UTC, 0 to 23; NO_HOUR without a real time."""
    return (times // 3600 % 24).masked_fill(~is_real(times), NO_HOUR)


def compute_intervals(times: Tensor) -> Tensor:
    """Classify the time since the previous event: (B, T) times → (B, T) interval classes.

    1 means the same second (or a time that goes back), 2 + n means 2^n to 2^(n + 1) − 1 seconds, NO_INTERVAL marks the
    first event and pairs without two real times.
    """
    seconds = (times[:, 1:] - times[:, :-1]).clamp_min(0)
    numbers = torch.frexp(seconds.double()).exponent.long() + 1  # exact, where a logarithm may round
    real = is_real(times)
    numbers = numbers.masked_fill(~(real[:, 1:] & real[:, :-1]), NO_INTERVAL)
    return torch.cat((torch.full_like(times[:, :1], NO_INTERVAL), numbers), dim=1)


def is_real(times: Tensor) -> Tensor:
    """(…) times → (…) mask of those that are real."""
    return (times >= FIRST_SECOND) & (times <= LAST_SECOND)
