"""The hour of the day of an event, by one rule for logs and for stored histories. It knows no log and no store.

Before March 1973 (10^8 seconds) there are no real times: logs whose times only say an order count 0, 1, 2, …, and the
zeros of a log mean that nobody knows. What the store cannot hold (seconds as u32, clipped) has no hour either, so that
an event has the same hour in training and in the service.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch import NO_HOUR, Hours

FIRST_SECOND = 100_000_000
LAST_SECOND = 2**32 - 2


def hours_of(seconds: NDArray[np.integer[Any]]) -> Hours:
    """(n,) Unix times → (n,) hours in UTC, 0 to 23, and NO_HOUR for what is no time."""
    hours = (seconds // 3600 % 24).astype(np.uint8)
    hours[(seconds < FIRST_SECOND) | (seconds > LAST_SECOND)] = NO_HOUR
    return hours
