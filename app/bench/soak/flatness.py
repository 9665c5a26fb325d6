"""Whether a series of samples is flat: its trend over the measured time, compared with a bound.

The trend is the Theil-Sen estimator, the median slope of all pairs (Sen, 1968), because samples of a busy machine have
outliers. The first quarter of the time is warm-up: caches fill, and histories reach their limits.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

WARM_UP_SHARE = 0.25
MAX_POINTS = 400
MIN_POINTS = 6


@dataclass(frozen=True, slots=True)
class Bound:
    """Most growth over the measured time: a share of the median or an absolute value, whichever is more."""

    share: float
    absolute: float


@dataclass(frozen=True, slots=True)
class Trend:
    """`growth` is the slope times the measured time; `is_flat` is None for too few samples."""

    median: float
    growth: float
    bound: float
    is_flat: bool | None

    def to_dict(self) -> dict[str, Any]:
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


def find_trend(samples: Sequence[tuple[float, float]], bound: Bound) -> Trend:
    """Fit the samples, pairs of time and value in order of time, after the warm-up."""
    times, values = np.array(samples, dtype=float).reshape(-1, 2).T
    if len(times):
        is_measured = times >= times[0] + WARM_UP_SHARE * (times[-1] - times[0])
        times, values = times[is_measured], values[is_measured]
    if len(times) < MIN_POINTS:
        return Trend(float(np.median(values)) if len(values) else 0.0, 0.0, bound.absolute, None)
    step = -(-len(times) // MAX_POINTS)
    times, values = times[::step], values[::step]
    first, second = np.triu_indices(len(times), k=1)
    slope = float(np.median((values[second] - values[first]) / (times[second] - times[first])))
    median, growth = float(np.median(values)), slope * float(times[-1] - times[0])
    limit = max(bound.share * abs(median), bound.absolute)
    return Trend(median, growth, limit, growth <= limit)
