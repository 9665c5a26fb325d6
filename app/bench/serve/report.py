"""Report of a serving benchmark: summaries per server, a text table, one flat JSON object, and missed targets.

Rates and percentiles are medians over rounds, because a shared machine has minutes in which it is half as fast; the
maximum latency is that of all rounds.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from app.bench.load.profile import Latencies, LoadResult
from app.bench.serve.rounds import Round
from models.text_table import format_number, format_text_table, round_optional

MS = 1000.0
US = 1_000_000.0
PERCENTILES = (50, 90, 99)
TAIL_STEPS = tuple(round(10 ** (step / 10), 2) for step in range(51))
"""Denominators of the shares of slow requests: from all of them to one in 100,000, ten per decade."""
GENERATOR = "generator"
"""Name of the measurement of the load generator against a server that does nothing."""
NATIVE_SUFFIX = "_native"
PEERS = ("naive", "torchserve", f"naive{NATIVE_SUFFIX}", f"torchserve{NATIVE_SUFFIX}")
"""A peer runs the model with torch, as such a server would; with the suffix, with nextup's native code."""


@dataclass(frozen=True, slots=True)
class ServerSummary:
    """The rounds of one server; a value is None if there was nothing to compute it from."""

    name: str
    rps: float
    rounds_rps: list[float]
    percentiles_ms: dict[int, float | None]
    max_ms: float | None
    errors: dict[str, int]
    server_cpu_us: float | None
    generator_cpu_us: float | None
    generator_busy: float
    """Fraction of a core that the generator used, maximum of the rounds; near 1 the generator is the bottleneck."""
    served_by: dict[str, float]
    model_version: str | None
    writes_rps: float = 0.0
    """The writes among `rps`; percentiles are those of reads."""
    write_percentiles_ms: dict[int, float | None] = field(default_factory=dict)
    tail_ms: list[tuple[float, float]] = field(default_factory=list)
    """(n, ms): one read in n is slower, over all rounds together."""

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())


def summarize_rounds(name: str, rounds: Sequence[Round]) -> ServerSummary:
    results = [each.result for each in rounds]
    rates = [result.rate for result in results]
    served_by = _sum_counts(result.served_by for result in results)
    versions = _sum_counts(result.model_versions for result in results)
    samples = served_by.total()
    return ServerSummary(
        name=name,
        rps=median(rates),
        rounds_rps=rates,
        percentiles_ms=_compute_percentiles([result.latencies_s for result in results]),
        max_ms=max(
            (MS * float(result.latencies_s.max()) for result in results if len(result.latencies_s)), default=None
        ),
        errors=dict(_sum_counts(map(_count_errors, results))),
        server_cpu_us=_compute_cpu_us((each.server_cpu_s, each.result) for each in rounds),
        generator_cpu_us=_compute_cpu_us((result.cpu_s, result) for result in results),
        generator_busy=max(result.cpu_s / result.elapsed_s for result in results),
        served_by={source: count / samples for source, count in served_by.most_common()},
        model_version=versions.most_common(1)[0][0] if versions else None,
        writes_rps=median(result.ok_writes / result.seconds for result in results),
        write_percentiles_ms=_compute_percentiles([result.write_latencies_s for result in results]),
        tail_ms=_compute_tail([result.latencies_s for result in results]),
    )


def format_rounds_table(summaries: Iterable[ServerSummary]) -> str:
    return format_text_table(*make_rounds_table(summaries))


def make_rounds_table(summaries: Iterable[ServerSummary]) -> tuple[list[str], list[list[str]]]:
    """Make head and rows of the table for people."""
    head = ["", "req/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "errors", "CPU µs/req", "rounds (req/s)"]
    rows = [
        [
            summary.name,
            f"{summary.rps:,.0f}",
            *(format_number(summary.percentiles_ms[q]) for q in PERCENTILES),
            format_number(summary.max_ms),
            f"{summary.error_count:,}",
            format_number(summary.server_cpu_us, 0),
            " ".join(f"{rate:,.0f}" for rate in summary.rounds_rps),
        ]
        for summary in summaries
    ]
    return head, rows


def format_remarks(recommend: ServerSummary, ceiling: ServerSummary) -> list[str]:
    """Format errors, response sources, writes and generator load, which the table does not show."""
    lines = []
    if recommend.errors:
        lines.append("errors: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(recommend.errors.items())))
    if recommend.served_by:
        shares = ", ".join(f"{source} {share:.1%}" for source, share in recommend.served_by.items())
        lines.append(f"served by: {shares} (of a sample)")
    if recommend.writes_rps:
        times = ", ".join(f"p{q} {format_number(value)} ms" for q, value in recommend.write_percentiles_ms.items())
        lines.append(
            f"writes: {recommend.writes_rps:,.0f} of its requests/s, {times}; "
            "other servers receive no writes, and the percentiles above are those of reads"
        )
    lines.append(
        f"generator: {ceiling.rps:,.0f} req/s against a bare ASGI function, "
        f"{format_number(ceiling.generator_cpu_us, 0)} µs of CPU per request; "
        f"{recommend.generator_busy:.0%} of a core while it measured the service"
    )
    return lines


def format_machine_line(torch_threads: int) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} before the benchmark" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}, Python {platform.python_version()}, {torch_threads} torch threads per worker"


def build_result(summaries: Mapping[str, ServerSummary]) -> dict[str, object]:
    """Build flat keys `<server>_<metric>`; `ratio` is recommend / echo, `ratio_<peer>` recommend / peer."""
    result: dict[str, object] = {}
    for name, summary in summaries.items():
        result |= {f"{name}_{metric}": value for metric, value in _list_metrics(summary).items()}
    recommend = summaries["recommend"]
    result["ratio"] = _compute_ratio(recommend, summaries["echo"])
    result |= {f"ratio_{name}": _compute_ratio(recommend, summaries[name]) for name in PEERS if name in summaries}
    result["generator_cpu_us"] = round_optional(summaries["generator"].generator_cpu_us, 1)
    result["generator_busy"] = round(recommend.generator_busy, 3)
    result["served_by"] = {source: round(share, 4) for source, share in recommend.served_by.items()}
    result["model_version"] = recommend.model_version
    return result


def find_missed_targets(
    recommend: ServerSummary, echo: ServerSummary, min_rps: float | None, max_p99_ms: float | None
) -> list[str]:
    """List the reasons why the benchmark failed; empty if it passed."""
    reasons = [
        f"{summary.error_count:,} errors from {summary.name}" for summary in (recommend, echo) if summary.error_count
    ]
    reasons += [f"no response from {summary.name}" for summary in (recommend, echo) if min(summary.rounds_rps) == 0]
    if min_rps is not None and recommend.rps < min_rps:
        reasons.append(f"{recommend.rps:,.0f} req/s are below {min_rps:,.0f}")
    p99_ms = recommend.percentiles_ms[99]
    if max_p99_ms is not None and p99_ms is not None and p99_ms > max_p99_ms:
        reasons.append(f"p99 of {p99_ms:.1f} ms is above {max_p99_ms:.1f} ms")
    return reasons


def _list_metrics(summary: ServerSummary) -> dict[str, object]:
    metrics: dict[str, object] = {
        "rps": round(summary.rps, 1),
        "rps_rounds": [round(rate, 1) for rate in summary.rounds_rps],
        **{f"p{q}_ms": round_optional(summary.percentiles_ms[q], 3) for q in PERCENTILES},
        "max_ms": round_optional(summary.max_ms, 3),
        "cpu_us": round_optional(summary.server_cpu_us, 1),
        "errors": summary.error_count,
    }
    if summary.writes_rps:
        metrics["writes_rps"] = round(summary.writes_rps, 1)
        metrics |= {f"write_p{q}_ms": round_optional(summary.write_percentiles_ms[q], 3) for q in PERCENTILES}
    return metrics


def _compute_ratio(recommend: ServerSummary, other: ServerSummary) -> float | None:
    return round(recommend.rps / other.rps, 4) if other.rps else None


def _count_errors(result: LoadResult) -> dict[str, int]:
    return {f"status {status}": count for status, count in result.statuses.items()} | result.failures


def _sum_counts(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return total


def _compute_percentiles(rounds: Sequence[Latencies]) -> dict[int, float | None]:
    """Compute percentiles in ms of each round that has latencies, and take their median over the rounds."""
    timed = [MS * latencies_s for latencies_s in rounds if len(latencies_s)]
    return {q: median(float(np.percentile(each, q)) for each in timed) if timed else None for q in PERCENTILES}


def _compute_tail(rounds: Sequence[Latencies]) -> list[tuple[float, float]]:
    """Compute the latency in ms that one read in n exceeds, for n up to their number."""
    latencies = np.concatenate([np.empty(0), *rounds])
    steps = [n for n in TAIL_STEPS if n <= len(latencies)]
    if not steps:
        return []
    values = MS * np.percentile(latencies, [100 * (1 - 1 / n) for n in steps])
    return list(zip(steps, values.tolist(), strict=True))


def _compute_cpu_us(rounds: Iterable[tuple[float | None, LoadResult]]) -> float | None:
    """Compute the median over rounds of CPU time per response, in µs."""
    per_response = [
        US * seconds / result.all_responses
        for seconds, result in rounds
        if seconds is not None and result.all_responses
    ]
    return median(per_response) if per_response else None
