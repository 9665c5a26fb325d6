"""What is told of a serving benchmark: a table for people, and one flat JSON object for machines.

Knows figures and their names. Rates and percentiles are the median over the rounds, as a machine that others use has
minutes in which it is half as fast; the largest latency is that of all rounds.
"""

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from app.bench.load.profile import Latencies
from app.bench.serve.rounds import Round
from models.benchmarks.tables import format_number, format_text_table, round_optional

MS = 1000.0
US = 1_000_000.0
PERCENTILES = (50, 90, 99)
NATIVE = "_native"
PEERS = ("naive", "torchserve", f"naive{NATIVE}", f"torchserve{NATIVE}")
"""A peer runs the model on torch, as such a server would; with the ending, on our native code."""


@dataclass(frozen=True, slots=True)
class ServerSummary:
    """The rounds of one server. A figure is None where there was nothing to take it from."""

    name: str
    rps: float
    rounds_rps: list[float]
    percentiles_ms: dict[int, float | None]
    max_ms: float | None
    errors: dict[str, int]
    server_cpu_us: float | None
    generator_cpu_us: float | None
    generator_busy: float
    """Share of one core that the generator used, the largest of the rounds: near 1 it is the limit, not the server."""
    served_by: dict[str, float]
    model_version: str | None
    writes_rps: float = 0.0
    """How many of `rps` were writes; percentiles are of reads."""
    write_percentiles_ms: dict[int, float | None] = field(default_factory=dict)

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())


def summarize_rounds(name: str, rounds: Sequence[Round]) -> ServerSummary:
    tallies = [one.tally for one in rounds]
    rates = [tally.answered / tally.seconds for tally in tallies]
    timed = [tally.latencies_s * MS for tally in tallies if len(tally.latencies_s)]
    errors: Counter[str] = Counter()
    served_by: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    for tally in tallies:
        errors.update({f"status {status}": count for status, count in tally.statuses.items()})
        errors.update(tally.failures)
        served_by.update(tally.served_by)
        versions.update(tally.model_versions)
    samples = served_by.total()
    return ServerSummary(
        name=name,
        rps=median(rates),
        rounds_rps=rates,
        percentiles_ms=_percentiles(timed),
        max_ms=max(float(latencies.max()) for latencies in timed) if timed else None,
        errors=dict(errors),
        server_cpu_us=_per_answer([(one.server_cpu_s, one.tally.all_answers) for one in rounds]),
        generator_cpu_us=_per_answer([(tally.cpu_s, tally.all_answers) for tally in tallies]),
        generator_busy=max(tally.cpu_s / tally.elapsed_s for tally in tallies),
        served_by={who: count / samples for who, count in served_by.most_common()},
        model_version=versions.most_common(1)[0][0] if versions else None,
        writes_rps=median(tally.ok_writes / tally.seconds for tally in tallies),
        write_percentiles_ms=_percentiles([t.write_latencies_s * MS for t in tallies if len(t.write_latencies_s)]),
    )


def table(summaries: Sequence[ServerSummary]) -> str:
    head = ["", "req/s", "p50 ms", "p90 ms", "p99 ms", "max ms", "errors", "CPU µs/req", "rounds (req/s)"]
    rows = [
        [
            one.name,
            f"{one.rps:,.0f}",
            *(format_number(one.percentiles_ms[q]) for q in PERCENTILES),
            format_number(one.max_ms),
            f"{one.error_count:,}",
            format_number(one.server_cpu_us, 0),
            " ".join(f"{rate:,.0f}" for rate in one.rounds_rps),
        ]
        for one in summaries
    ]
    return format_text_table(head, rows)


def format_remarks(recommend: ServerSummary, ceiling: ServerSummary) -> list[str]:
    """What the table does not say."""
    lines = []
    if recommend.errors:
        lines.append("errors: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(recommend.errors.items())))
    if recommend.served_by:
        shares = ", ".join(f"{who} {share:.1%}" for who, share in recommend.served_by.items())
        lines.append(f"served by: {shares} (of a sample)")
    if recommend.writes_rps:
        times = ", ".join(f"p{q} {format_number(value)} ms" for q, value in recommend.write_percentiles_ms.items())
        lines.append(
            f"writes: {recommend.writes_rps:,.0f} of its requests/s, {times}; "
            "the others get none, and the percentiles above are of reads"
        )
    lines.append(
        f"generator: {ceiling.rps:,.0f} req/s against a bare ASGI function, {format_number(ceiling.generator_cpu_us, 0)} µs "
        f"of CPU per request; busy {recommend.generator_busy:.0%} of a core while it measured the service"
    )
    return lines


def format_machine_line(torch_threads: int) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} before it began" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}, Python {platform.python_version()}, {torch_threads} torch threads per worker"


def figures(summaries: Mapping[str, ServerSummary]) -> dict[str, object]:
    """Flat keys, `<server>_<figure>`; `ratio` is recommend / echo, `ratio_<peer>` recommend / peer."""
    found: dict[str, object] = {}
    for name, one in summaries.items():
        found[f"{name}_rps"] = round(one.rps, 1)
        found[f"{name}_rps_rounds"] = [round(rate, 1) for rate in one.rounds_rps]
        for q in PERCENTILES:
            found[f"{name}_p{q}_ms"] = round_optional(one.percentiles_ms[q], 3)
        found[f"{name}_max_ms"] = round_optional(one.max_ms, 3)
        found[f"{name}_cpu_us"] = round_optional(one.server_cpu_us, 1)
        found[f"{name}_errors"] = one.error_count
        if one.writes_rps:
            found[f"{name}_writes_rps"] = round(one.writes_rps, 1)
            found |= {f"{name}_write_p{q}_ms": round_optional(one.write_percentiles_ms[q], 3) for q in PERCENTILES}
    recommend, echo = summaries["recommend"], summaries["echo"]
    found["ratio"] = round(recommend.rps / echo.rps, 4) if echo.rps else None
    for name in PEERS:
        if name in summaries:
            peer = summaries[name].rps
            found[f"ratio_{name}"] = round(recommend.rps / peer, 4) if peer else None
    found["generator_cpu_us"] = round_optional(summaries["generator"].generator_cpu_us, 1)
    found["generator_busy"] = round(recommend.generator_busy, 3)
    found["served_by"] = {who: round(share, 4) for who, share in recommend.served_by.items()}
    found["model_version"] = recommend.model_version
    return found


def find_missed_targets(
    recommend: ServerSummary, echo: ServerSummary, min_rps: float | None, max_p99_ms: float | None
) -> list[str]:
    """Why the benchmark did not pass; nothing if it did."""
    reasons = [f"{one.error_count:,} errors from {one.name}" for one in (recommend, echo) if one.error_count]
    reasons += [f"no answer from {one.name}" for one in (recommend, echo) if min(one.rounds_rps) == 0]
    if min_rps is not None and recommend.rps < min_rps:
        reasons.append(f"{recommend.rps:,.0f} req/s are below {min_rps:,.0f}")
    p99_ms = recommend.percentiles_ms[99]
    if max_p99_ms is not None and p99_ms is not None and p99_ms > max_p99_ms:
        reasons.append(f"p99 of {p99_ms:.1f} ms is above {max_p99_ms:.1f} ms")
    return reasons


def _percentiles(timed: Sequence[Latencies]) -> dict[int, float | None]:
    """Of each round, and then the median over the rounds."""
    return {q: median(float(np.percentile(one, q)) for one in timed) if timed else None for q in PERCENTILES}


def _per_answer(spent: Sequence[tuple[float | None, int]]) -> float | None:
    """Median over the rounds of CPU time per answer, in µs."""
    per_answer = [US * seconds / answers for seconds, answers in spent if seconds is not None and answers]
    return median(per_answer) if per_answer else None
