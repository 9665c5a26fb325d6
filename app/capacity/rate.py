"""How many workers a rate of requests needs: CPU time per request from measured constants, by preset and catalogue.

It holds for native code on one kind of processor, and for workers with one compute thread each. What it cannot know it
says: `NotMeasured` names what is missing. It knows no memory.
"""

import math
from dataclasses import asdict, dataclass

from app.capacity import constants as measured
from app.capacity.shapes import ModelShape

ENCODED_UP_TO = 200
"""Events; all that the measured presets look at."""


class NotMeasured(ValueError):
    """There are no figures for this; the text says for what."""


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """CPU seconds: `batch_s` of a batch, whoever is in it, and `request_s` of each request in it beside.

    Workers for `rate` per second at `measured.TARGET_UTILIZATION`: `workers` if every request comes alone, so that nobody waits for
    a batch to fill; `least_workers` if batches are full, as under overload.
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
        return self._workers(self.batch_s + self.request_s)

    @property
    def least_workers(self) -> int:
        return self._workers(self.batch_s / measured.BATCH + self.request_s)

    def _workers(self, seconds: float) -> int:
        return max(1, math.ceil(self.rate * seconds / measured.TARGET_UTILIZATION))

    def figures(self) -> dict[str, float]:
        own = {"request_s": self.request_s, "workers": self.workers, "least_workers": self.least_workers}
        return {name: round(value, 9) for name, value in {**asdict(self), **own}.items()}


def estimate_rate(shape: ModelShape, rate: float, length: int, device: str, *, index: bool = False) -> RateEstimate:
    """NotMeasured for a preset or a device without figures."""
    if device != "cpu":
        raise NotMeasured(f"requests per second on {device}")
    if shape.preset not in measured.ENCODE_S or shape.table_form not in measured.SCAN_S:
        known = ", ".join(measured.ENCODE_S)
        raise NotMeasured(f"requests per second of {shape.preset}; there are figures for {known}")
    fixed, per_event = measured.ENCODE_S[shape.preset]
    with_int8, without = measured.SCAN_S[shape.table_form]
    of_batch, of_history = with_int8 if shape.scorers.extra_bytes else without
    batch_s, score_s = of_batch * shape.items, of_history * shape.items
    if index and shape.table_form == "codes":
        batch_s, score_s = (measured.READ_SHARE * shape.items * seconds for seconds in measured.LISTS_S)
    elif index:
        batch_s, score_s = measured.INDEX_S
    encode_s = fixed + per_event * min(length, ENCODED_UP_TO)
    return RateEstimate(rate, measured.FRONT_S, encode_s, batch_s, score_s)
