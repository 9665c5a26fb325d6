"""Workers needed for a request rate, from measured CPU times per request by preset and catalogue size.

Valid for native code on one kind of processor and for workers with one compute thread. `NotMeasured` names a
combination without measurements.
"""

import math
from dataclasses import asdict, dataclass

from app.capacity import constants
from app.capacity.shapes import ModelShape

MAX_ENCODED_EVENTS = 200
"""The measured presets encode at most so many events."""


class NotMeasured(ValueError):
    """There are no measurements for this configuration; the text names it."""


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """CPU seconds of a request: `batch_s` per batch whatever its size, and `request_s` per request in it.

    `workers` is for `rate` per second at `constants.TARGET_UTILIZATION` if every request is a batch of one, so that
    no request waits for a batch to fill; `least_workers` is for full batches, as under overload.
    """

    rate: float
    front_s: float
    encode_s: float
    batch_s: float
    score_s: float

    @property
    def request_s(self) -> float:
        return self.front_s + self.encode_s + self.score_s

    @property
    def workers(self) -> int:
        return self._count_workers(self.batch_s + self.request_s)

    @property
    def least_workers(self) -> int:
        return self._count_workers(self.batch_s / constants.BATCH + self.request_s)

    def _count_workers(self, seconds: float) -> int:
        return max(1, math.ceil(self.rate * seconds / constants.TARGET_UTILIZATION))

    def to_dict(self) -> dict[str, float]:
        derived = {"request_s": self.request_s, "workers": self.workers, "least_workers": self.least_workers}
        return {name: round(value, 9) for name, value in {**asdict(self), **derived}.items()}


def estimate_rate(shape: ModelShape, rate: float, length: int, device: str, *, index: bool = False) -> RateEstimate:
    """Estimate CPU times of a rate; NotMeasured for a preset or device without measurements."""
    if device != "cpu":
        raise NotMeasured(f"requests per second on {device}")
    if shape.preset not in constants.ENCODE_S or shape.table_form not in constants.SCAN_S:
        presets = ", ".join(constants.ENCODE_S)
        raise NotMeasured(f"requests per second of {shape.preset}; there are measurements for {presets}")
    fixed, per_event = constants.ENCODE_S[shape.preset]
    with_extra, without_extra = constants.SCAN_S[shape.table_form]
    batch_item_s, query_item_s = with_extra if shape.scorers.extra_bytes else without_extra
    batch_s, score_s = batch_item_s * shape.items, query_item_s * shape.items
    if index and shape.table_form == "codes":
        batch_s, score_s = (constants.PROBED_SHARE * shape.items * seconds for seconds in constants.IVF_PQ_S)
    elif index:
        batch_s, score_s = constants.IVF_S
    encode_s = fixed + per_event * min(length, MAX_ENCODED_EVENTS)
    return RateEstimate(rate, constants.FRONT_S, encode_s, batch_s, score_s)
