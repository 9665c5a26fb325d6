"""How many workers a rate of requests needs: CPU time per request from measured constants, by preset and catalogue.

It holds for native code on one kind of processor, and for workers with one compute thread each. What it cannot know it
says: `NotMeasured` names what is missing. It knows no memory.
"""

import math
from dataclasses import asdict, dataclass

from app.planning import measured
from app.planning.shapes import Shape

ENCODED_UP_TO = 200
"""Events; all that the measured presets look at."""


class NotMeasured(ValueError):
    """There are no figures for this; the text says for what."""


@dataclass(frozen=True, slots=True)
class PlannedRate:
    """CPU seconds of one request by part, and the workers that answer `rate` of them per second at `measured.BUSY`."""

    rate: float
    front_s: float
    encode_s: float
    score_s: float

    @property
    def request_s(self) -> float:
        return self.front_s + self.encode_s + self.score_s

    @property
    def workers(self) -> int:
        return max(1, math.ceil(self.rate * self.request_s / measured.BUSY))

    def figures(self) -> dict[str, float]:
        return {**asdict(self), "request_s": self.request_s, "workers": self.workers}


def planned_rate(shape: Shape, rate: float, length: int, device: str, *, index: bool = False) -> PlannedRate:
    """NotMeasured for a preset or a device without figures."""
    if device != "cpu":
        raise NotMeasured(f"requests per second on {device}")
    if shape.preset not in measured.ENCODE_S or shape.table_form not in measured.SCAN_S:
        known = ", ".join(measured.ENCODE_S)
        raise NotMeasured(f"requests per second of {shape.preset}; there are figures for {known}")
    fixed, per_event = measured.ENCODE_S[shape.preset]
    with_int8, without = measured.SCAN_S[shape.table_form]
    per_item = with_int8 if shape.scorers.kept else without
    return PlannedRate(
        rate=rate,
        front_s=measured.FRONT_S,
        encode_s=fixed + per_event * min(length, ENCODED_UP_TO),
        score_s=measured.INDEX_S if index else per_item * shape.items,
    )
