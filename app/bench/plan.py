"""What the load generator is asked for, and what it gives back, as they travel between two processes.

Knows the shapes and how they are written: a plan as one JSON line, a tally as one JSON line and an array. It knows no
connection and no server.
"""

import io
import json
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Latencies = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Plan:
    """One round of POSTs with JSON bodies, `connections` at a time, each sending as soon as it has its answer."""

    host: str
    port: int
    path: str
    bodies: tuple[str, ...]
    """Sent in this order by all connections together, and again from the first."""
    connections: int
    warm_up_s: float
    seconds: float
    timeout_s: float

    def written(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, text: bytes) -> Self:
        fields = json.loads(text)
        return cls(**fields | {"bodies": tuple(fields["bodies"])})


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a round. Only `all_answers` and the CPU time include the warm-up."""

    seconds: float
    """Length of the measured window; shorter than planned if the array of latencies was full."""
    answered: int
    """Answers 200 that came within the window."""
    latencies_s: Latencies
    """(n,) of the answers 200 to requests that were sent within the window, in the order they came."""
    statuses: dict[int, int]
    """Answers other than 200, by status."""
    failures: dict[str, int]
    """Requests without an answer: refused, disconnected, malformed, timeout."""
    served_by: dict[str, int]
    """From a sample of the answers."""
    model_versions: dict[str, int]
    """From the same sample."""
    all_answers: int
    """Answers of any status, the warm-up and those after the window included."""
    cpu_s: float
    """CPU time that the generator itself took for them."""
    elapsed_s: float
    """From the first connection to the last answer."""

    @property
    def errors(self) -> int:
        return sum(self.statuses.values()) + sum(self.failures.values())

    def written(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "latencies_s"}
        array = io.BytesIO()
        np.save(array, self.latencies_s, allow_pickle=False)
        return json.dumps(fields).encode() + b"\n" + array.getvalue()

    @classmethod
    def read(cls, text: bytes) -> Self:
        line, _, array = text.partition(b"\n")
        fields = json.loads(line)
        fields["statuses"] = {int(status): count for status, count in fields["statuses"].items()}
        return cls(**fields, latencies_s=np.load(io.BytesIO(array), allow_pickle=False))
