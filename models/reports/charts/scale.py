"""Scales of charts: values to positions, and round values for ticks."""

import math
from dataclasses import dataclass

MAX_TICKS = 6
MIN_SPAN, SMALLEST = 1e-9, 1e-200
"""Values that differ by a smaller share, or are smaller, are drawn as equal ones."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic scale from `low` to `high`, drawn from `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Position of a value; values outside the scale are at its ends."""
        value = min(max(value, self.low), self.high)
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def list_ticks(self) -> list[float]:
        """Round values within the scale, at most about six."""
        return _list_log_ticks(self.low, self.high) if self.is_log else _list_linear_ticks(self.low, self.high)


def make_scale(
    values: list[float], start: float, stop: float, *, is_log: bool = False, from_zero: bool = False
) -> Scale:
    """Make a scale that covers all finite values, positive ones if it is logarithmic, and zero with `from_zero`."""
    usable = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    if is_log:
        low, high = min(usable, default=1.0), max(usable, default=10.0)
        return Scale(low, high if high > low else 10 * low, start, stop, is_log=True)
    if from_zero:
        usable.append(0.0)
    low, high = min(usable, default=0.0), max(usable, default=1.0)
    if high - low <= MIN_SPAN * max(abs(low), abs(high), SMALLEST):
        high = low + max(1.0, abs(low))
    return Scale(low, high, start, stop)


def format_tick(value: float) -> str:
    """Format a tick shortly: 0.05, 12, 3.5k, 20M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            divisor = 1e3 if unit == "k" else limit
            return f"{value / divisor:.4g}{unit}"
    return f"{value:.4g}"


def _list_linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / MAX_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _list_log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / MAX_TICKS))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [factor * 10.0**power for power in range(first, last + 1, stride) for factor in factors]
    return [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
