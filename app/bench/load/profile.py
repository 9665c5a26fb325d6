"""What the load generator is asked for, and what it gives back, as they travel between two processes.

Knows the shapes and how they are written: a plan as one JSON line, a tally as one JSON line and two arrays. It knows no
connection and no server.
"""

import io
import json
from dataclasses import asdict, dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

Latencies = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """One round of POSTs with JSON bodies over `connections` connections.

    Without a `rate` each connection sends as soon as it has its answer; with one, so many requests per second are due,
    whatever the server does, and a latency counts from the time at which a request was due.
    """

    host: str
    port: int
    path: str
    bodies: tuple[str, ...]
    """Sent in this order by all connections together, and again from the first."""
    connections: int
    warm_up_s: float
    seconds: float
    timeout_s: float
    rate: float | None = None
    events_path: str = "/events"
    events: tuple[str, ...] = ()
    """Bodies of writes."""
    write_share: float = 0.0
    """Of all requests; the rest are bodies."""
    seed: int = 0
    """Of the gaps between requests, and of which of them are writes."""

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_bytes(cls, text: bytes) -> Self:
        fields = json.loads(text)
        return cls(**fields | {name: tuple(fields[name]) for name in ("bodies", "events")})


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a round. Only `all_answers` and the CPU time include the warm-up."""

    seconds: float
    """Length of the measured window; shorter than planned if the array of latencies was full."""
    answered: int
    """Answers 200, or 202 to writes, that came within the window."""
    latencies_s: Latencies
    """(n,) of the answers 200 to reads that were sent, or due, within the window, in the order they came."""
    statuses: dict[int, int]
    """Other answers, by status."""
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
    ok_writes: int = 0
    """How many of `answered` were writes."""
    write_latencies_s: Latencies = field(default_factory=lambda: np.empty(0))
    """(n,) as `latencies_s`, of the writes."""

    @property
    def errors(self) -> int:
        return sum(self.statuses.values()) + sum(self.failures.values())

    def to_bytes(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__ if not name.endswith("latencies_s")}
        arrays = io.BytesIO()
        for latencies in (self.latencies_s, self.write_latencies_s):
            np.save(arrays, latencies, allow_pickle=False)
        return json.dumps(fields).encode() + b"\n" + arrays.getvalue()

    @classmethod
    def from_bytes(cls, text: bytes) -> Self:
        line, _, rest = text.partition(b"\n")
        fields = json.loads(line)
        fields["statuses"] = {int(status): count for status, count in fields["statuses"].items()}
        arrays = io.BytesIO(rest)
        reads, writes = (np.load(arrays, allow_pickle=False) for _ in range(2))
        return cls(**fields, latencies_s=reads, write_latencies_s=writes)
