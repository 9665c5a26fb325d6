"""The rungs of a ladder: catalogue sizes, each with a rate at which it must be served, and what came of it.

Sizes, rates and the target of 50 ms at p90 are those of a published benchmark of recommender services (ETUDE). It
knows figures and verdicts; what is started and asked is in `app/commands/bench_scaling.py`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from app.bench.resources import ProcessMemory
from app.bench.serve.report import ServerSummary
from app.cli.counts import count_of
from models.benchmarks.tables import format_megabytes, format_number, format_text_table, round_optional

MAX_P90_MS = 50.0
MIN_RECALL = 0.99
MIN_MODEL_SHARE = 0.99
"""Of the answers: a service that falls back to popularity has not served the rate."""
DEFAULT_STEPS = "10k@100,100k@250,1m@500,10m@1000"


@dataclass(frozen=True, slots=True)
class ScaleStep:
    items: int
    rate: float
    """Requests per second."""

    @classmethod
    def parse_all(cls, text: str) -> list[Self]:
        """`10k@100,1m@500`; ValueError for anything else."""
        return [cls._parse(part) for part in text.split(",")]

    @classmethod
    def _parse(cls, text: str) -> Self:
        size, _, rate = text.strip().lower().partition("@")
        try:
            rung = cls(count_of(size), float(rate))
        except ValueError:
            raise ValueError(f"--rungs has {text!r}; items@rate is meant, as in 100k@250") from None
        if not 40 <= rung.items <= 100_000_000 or not 0 < rung.rate <= 100_000:
            raise ValueError(f"--rungs has {text!r}; 40 to 100m items and a rate up to 100,000 make sense")
        return rung


@dataclass(frozen=True, slots=True)
class ScaleResult:
    """One rung, measured. Bytes of the service's processes together, loaded and then after the load."""

    rung: ScaleStep
    summary: ServerSummary
    memory_before: ProcessMemory | None
    memory: ProcessMemory | None
    artifact_bytes: int
    start_s: float
    recall: float | None
    index: dict[str, Any] | None = None
    """What is told of the index that answered; None for exact answers."""
    index_s: float | None = None
    """Spent on building it; next to nothing if it was there."""

    @property
    def failure_reasons(self) -> list[str]:
        """Why the rung is not passed; nothing if it is."""
        reasons = []
        p90_ms = self.summary.percentiles_ms[90]
        if p90_ms is None:
            reasons.append("no answers")
        elif p90_ms > MAX_P90_MS:
            reasons.append(f"p90 of {p90_ms:,.1f} ms is above {MAX_P90_MS:.0f} ms")
        if self.summary.error_count:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.summary.errors.items()))
            reasons.append(f"errors: {kinds}")
        by_model = self.summary.served_by.get("model", 0.0)
        if p90_ms is not None and by_model < MIN_MODEL_SHARE:
            reasons.append(f"only {by_model:.1%} answered by the model")
        if self.recall is not None and self.recall < MIN_RECALL:
            reasons.append(f"recall@10 of {self.recall:.3f} is below {MIN_RECALL}")
        return reasons

    def figures(self) -> dict[str, Any]:
        return {
            "items": self.rung.items,
            "rate": self.rung.rate,
            "rps": round(self.summary.rps, 1),
            **{f"p{q}_ms": round_optional(value, 2) for q, value in self.summary.percentiles_ms.items()},
            "max_ms": round_optional(self.summary.max_ms, 2),
            "errors": self.summary.errors,
            "served_by": self.summary.served_by,
            "memory_loaded": asdict(self.memory_before) if self.memory_before else None,
            "memory": asdict(self.memory) if self.memory else None,
            "artifact_bytes": self.artifact_bytes,
            "start_s": round(self.start_s, 2),
            "recall@10": round_optional(self.recall, 4),
            "index": self.index,
            "index_s": round_optional(self.index_s, 1),
            "missed": self.failure_reasons,
            "passed": not self.failure_reasons,
        }


def format_scaling_table(rungs: Sequence[ScaleResult]) -> str:
    head = [
        "items", "asked/s", "answered/s", "p50 ms", "p90 ms", "p99 ms", "errors",
        "PSS MB", "USS MB", "disk MB", "start s", "recall@10", "",
    ]  # fmt: skip
    return format_text_table(head, [_row(one) for one in rungs])


def _row(one: ScaleResult) -> list[str]:
    return [
        f"{one.rung.items:,}",
        f"{one.rung.rate:,.0f}",
        f"{one.summary.rps:,.1f}",
        *(format_number(value) for value in one.summary.percentiles_ms.values()),
        f"{one.summary.error_count:,}",
        format_megabytes(one.memory.pss if one.memory else None),
        format_megabytes(one.memory.uss if one.memory else None),
        format_megabytes(one.artifact_bytes),
        format_number(one.start_s),
        format_number(one.recall, 3),
        "failed" if one.failure_reasons else "passed",
    ]
