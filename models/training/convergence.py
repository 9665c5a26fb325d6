"""Whether a training ended before the validation metric stopped rising, and how much longer it would need.

The metric always rises while a linear schedule lowers the learning rate, so epochs of a falling rate at the end are not
judged. The estimate assumes that the gains keep falling by the ratio between the last two windows of epochs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from models.training.checkpoint import EpochRecord

MIN_GAIN = 0.01
"""Relative gain over the last window of epochs from which the metric counts as still rising."""
WINDOW_SHARE = 0.2
"""Share of the epochs in a window."""

MIN_DECAY = 2
"""Least consecutive epochs with a falling learning rate that are a linear decay."""


@dataclass(frozen=True, slots=True)
class Convergence:
    """`gain` is the relative gain over the last window; `minutes` more are needed, None if this cannot be estimated.

    `is_converged` is None where it cannot be judged: there is no gain after one measurement, or from a metric of 0.
    """

    is_converged: bool | None
    gain: float
    minutes: float | None

    def describe(self) -> str | None:
        """State what is missing; None for a converged training."""
        if self.is_converged:
            return None
        if self.is_converged is None:
            return (
                "whether the training has converged cannot be judged: it ended before validation NDCG@10 could be "
                "compared between epochs; train longer"
            )
        need = "how long it would need cannot be estimated from so few epochs, train several times longer"
        if self.minutes is not None:
            need = f"it would need about {max(1, math.ceil(self.minutes))} more minutes"
        return (
            f"the training has not converged: validation NDCG@10 still rose by {self.gain:.1%} over the last "
            f"epochs before the learning rate fell; {need}"
        )


def assess_convergence(curve: Sequence[EpochRecord]) -> Convergence:
    """Assess the validation metric of all epochs; an untrained model has converged."""
    curve = _drop_decay([record for record in curve if not math.isnan(record.ndcg)])
    values = [record.ndcg for record in curve]
    if not values:
        return Convergence(True, 0.0, None)
    window = max(1, round(WINDOW_SHARE * len(values)))
    last, middle = values[-1], values[-1 - window] if len(values) > 1 else 0.0
    if middle == 0 and last == max(values):
        return Convergence(None, 0.0, None)
    gain = (last - middle) / last if last > 0 else 0.0
    if last < max(values) or gain < MIN_GAIN:
        return Convergence(True, max(0.0, gain), None)
    seconds = (curve[-1].epoch - curve[-1 - window].epoch) * fmean(record.seconds for record in curve[-window:])
    windows = _count_windows(values, window)
    return Convergence(False, gain, None if windows is None else windows * seconds / 60)


def _drop_decay(curve: Sequence[EpochRecord]) -> Sequence[EpochRecord]:
    """Drop the epochs at the end in which a linear schedule lowered the learning rate; a single drop is a plateau."""
    first = len(curve)
    while first > 1 and curve[first - 1].learning_rate < curve[first - 2].learning_rate:
        first -= 1
    return curve[:first] if len(curve) - first >= MIN_DECAY and first > 1 else curve


def _count_windows(values: Sequence[float], window: int) -> int | None:
    """Count the windows until the gain of a window is below `MIN_GAIN`; None where gains do not fall yet."""
    if len(values) <= 2 * window:
        return None
    last, middle, first = values[-1], values[-1 - window], values[-1 - 2 * window]
    gain, ratio = last - middle, (last - middle) / (middle - first) if middle > first else math.inf
    if not 0 < ratio < 0.95:  # a slower decay would extrapolate noise
        return None
    return max(1, math.ceil(math.log(MIN_GAIN * last / gain) / math.log(ratio)))
