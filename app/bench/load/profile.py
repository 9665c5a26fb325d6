"""Input and output of the load generator, and their serialization between the two processes.

A profile travels as one JSON line; a result as one JSON line and two arrays.
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
    """One round of POST requests with JSON bodies over `connections` connections.

    Without `rate` the loop is closed: each connection sends as soon as it has its response. With `rate` it is open:
    requests are scheduled at that rate, independently of the server, and latency counts from the scheduled time.
    """

    host: str
    port: int
    path: str
    bodies: tuple[str, ...]
    """Sent in this order by all connections together, cyclically."""
    connections: int
    warm_up_s: float
    seconds: float
    timeout_s: float
    rate: float | None = None
    events_path: str = "/events"
    events: tuple[str, ...] = ()
    """Bodies of writes."""
    write_share: float = 0.0
    """Fraction of requests that are writes."""
    seed: int = 0
    """Seeds the gaps between requests and the choice of reads or writes."""

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_bytes(cls, line: bytes) -> Self:
        fields = json.loads(line)
        return cls(**fields | {name: tuple(fields[name]) for name in ("bodies", "events")})


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Measurements of one round; only `all_responses` and the CPU time include the warm-up."""

    seconds: float
    """Length of the measured window; shorter than requested if the latency array filled up."""
    ok_responses: int
    """Responses with status 200, or 202 to writes, that arrived within the window."""
    latencies_s: Latencies
    """(n,) of reads with status 200 that were sent, or scheduled, within the window, in order of arrival."""
    statuses: dict[int, int]
    """Counts of other status codes."""
    failures: dict[str, int]
    """Requests without a response: refused, disconnected, malformed, timeout."""
    served_by: dict[str, int]
    """From sampled responses."""
    model_versions: dict[str, int]
    """From the same sample."""
    all_responses: int
    """Responses of any status, including the warm-up and those after the window."""
    cpu_s: float
    """CPU time of the generator process for all responses."""
    elapsed_s: float
    """From the first connection to the last response."""
    ok_writes: int = 0
    """The writes among `ok_responses`."""
    write_latencies_s: Latencies = field(default_factory=lambda: np.empty(0))
    """(n,) like `latencies_s`, of writes."""
    refusal_latencies_s: Latencies = field(default_factory=lambda: np.empty(0))
    """(n,) of responses with another status, and of sampled responses without the model because of overload."""

    @property
    def errors(self) -> int:
        return sum(self.statuses.values()) + sum(self.failures.values())

    @property
    def rate(self) -> float:
        """Successful responses per second."""
        return self.ok_responses / self.seconds

    def to_bytes(self) -> bytes:
        fields = {name: getattr(self, name) for name in self.__slots__ if not name.endswith("latencies_s")}
        arrays = io.BytesIO()
        for latencies in (self.latencies_s, self.write_latencies_s, self.refusal_latencies_s):
            np.save(arrays, latencies, allow_pickle=False)
        return json.dumps(fields).encode() + b"\n" + arrays.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        line, _, packed_arrays = content.partition(b"\n")
        fields = json.loads(line)
        fields["statuses"] = {int(status): count for status, count in fields["statuses"].items()}
        arrays = io.BytesIO(packed_arrays)
        reads, writes, refusals = (np.load(arrays, allow_pickle=False) for _ in range(3))
        return cls(**fields, latencies_s=reads, write_latencies_s=writes, refusal_latencies_s=refusals)
