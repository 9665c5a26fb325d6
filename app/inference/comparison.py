"""Result of comparing a new version with the serving one; does not load torch."""

import msgspec


class Comparison(msgspec.Struct, frozen=True):
    """Answers of two versions to the same queries, of which `recent_queries` are requests of the last minute.

    `overlap`: mean share of the serving version's items that the new one answers, None without an answer of a model.
    `latency_ratio`: median seconds of the new version by those of the serving one, which count as at least 2 ms.
    """

    serving_version: str
    queries: int
    recent_queries: int
    errors: int
    first_error: str | None
    overlap: float | None
    serving_ms: float
    candidate_ms: float
    latency_ratio: float


class ActivationOutcome(msgspec.Struct, frozen=True):
    """The version that served before, and its comparison with the new one; None if nothing was loaded."""

    previous: str
    comparison: Comparison | None = None
