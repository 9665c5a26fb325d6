"""The serving benchmark: the service under load, interleaved with a bare FastAPI echo and, optionally, with peers."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from app.bench.load.profile import LoadProfile
from app.bench.record import collect_machine_facts, format_provenance, write_record
from app.bench.serve.page import build_serve_page
from app.bench.serve.recall import compare_answers
from app.bench.serve.report import (
    ServerSummary,
    build_result,
    find_missed_targets,
    format_machine_line,
    format_remarks,
    format_rounds_table,
    summarize_rounds,
)
from app.bench.serve.rounds import Round, Target, run_round
from app.bench.serve.servers import run_service, run_uvicorn, start_peers
from app.bench.serve.workload import build_profile, open_benchmark_store, read_users
from app.environment import load_settings
from app.model_repository.repository import ModelRepository
from app.model_server.placement import resolve_placement
from app.runtime.subprocesses import ChildFailed
from app.settings import Settings
from models.benchmarks.timing import run_interleaved
from models.progress import progress
from models.reports.page import write_page

MAX_CEILING_S = 3.0
COMPARED_USERS = 20  # whose answers are compared with those of peers


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Options of `nextup bench serve`; None means the environment's setting or no limit."""

    connections: int
    seconds: float
    """Measured per server, all rounds together."""
    rounds: int
    k: int
    seed: int
    artifact: Path | None = None
    worker_counts: Sequence[int] = ()
    """Each is measured; the last is compared with the peers."""
    url: str | None = None
    """A running service to measure instead of starting one."""
    events: pl.DataFrame | None = None
    """Histories to load into a temporary store; None uses the configured store."""
    rate: float | None = None
    write_share: float = 0.0
    item_filter: Any = None
    rules: Any = None
    """Sent with every request."""
    peers: Sequence[str] = ()
    torchserve_folder: Path = Path("var/torchserve")
    min_rps: float | None = None
    max_p99_ms: float | None = None
    record_folder: Path | None = None
    report_file: Path | None = None


def run_serve_benchmark(options: ServeOptions) -> int:
    """Run the benchmark and return the exit status; 1 if a target was missed or a server did not start."""
    overrides: dict[str, Any] = {}
    if options.artifact is not None:
        overrides["artifact"] = options.artifact
    if options.worker_counts:
        overrides["workers"] = options.worker_counts[-1]
    settings = resolve_placement(load_settings(**overrides))
    repository = ModelRepository(settings.artifact)
    if repository.has_artifact():  # pin one version for the service and its peers, even if the target changes meanwhile
        settings = settings.model_copy(update={"artifact": repository.find_target_folder()})
    try:
        with ExitStack() as running:
            return _measure_servers(options, settings, running)
    except ChildFailed as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1


def _measure_servers(options: ServeOptions, settings: Settings, running: ExitStack) -> int:
    if options.events is not None:  # events of a temporary store must not enter the archive of this machine
        settings = settings.model_copy(update={"archive": "off"})
    workers = settings.worker_count
    machine = format_machine_line(settings.torch_threads or max(1, (os.cpu_count() or 1) // workers))
    facts = collect_machine_facts()
    url = running.enter_context(open_benchmark_store(options.events, settings))
    users = asyncio.run(read_users(url, settings))
    if not users:
        raise ValueError("the store holds no histories to request; run `nextup load` first or pass a log")
    profile = _build_profile(options, settings, url, users)
    services = _start_services(options, settings, url, running)
    peers, missing = start_peers(options.peers, settings, url, options.torchserve_folder, running)
    agreement = compare_answers(services[-1], peers, users[:COMPARED_USERS])
    echo = running.enter_context(run_uvicorn("echo", "app.bench.serve.echo:create_echo", workers, factory=True))
    ceiling = _measure_ceiling(profile)
    rounds = _run_rounds([echo, *peers, *services], profile, options.rounds)
    ordered = [*reversed(services), *peers, echo]
    summaries = {target.name: summarize_rounds(target.name, rounds[target.name]) for target in ordered}
    summaries["generator"] = summarize_rounds("generator", [ceiling])
    recommend = summaries["recommend"]
    reasons = find_missed_targets(recommend, summaries["echo"], options.min_rps, options.max_p99_ms)
    result = {
        **build_result(summaries),
        **_describe_run(options),
        "workers": workers,
        "users": len(users),
        "errors": recommend.error_count,
        "machine": machine,
        "scaling": _list_scaling(options.worker_counts or [workers], summaries),
        "not_measured": missing,
        "same_answers": agreement,
        "passed": not reasons,
    }
    text = _format_report(options, summaries, missing, reasons, machine, workers)
    print(text)
    if options.record_folder:
        write_record(options.record_folder, "serve", text, result, facts)
    if options.report_file:
        write_page(options.report_file, build_serve_page(summaries, result, format_provenance(facts), reasons))
    print(json.dumps(result))
    return 0 if not reasons else 1


def _build_profile(options: ServeOptions, settings: Settings, url: str, users: list[str]) -> LoadProfile:
    return build_profile(
        settings,
        url,
        users,
        connections=options.connections,
        round_s=options.seconds / options.rounds,
        k=options.k,
        rate=options.rate,
        write_share=options.write_share,
        seed=options.seed,
        item_filter=options.item_filter,
        rules=options.rules,
    )


def _start_services(options: ServeOptions, settings: Settings, url: str, running: ExitStack) -> list[Target]:
    """Start one service per number of workers; the last, `recommend`, is the one that peers are compared with."""
    if options.url:
        return [Target.from_url(options.url)]
    counts = options.worker_counts or [settings.worker_count]
    return [
        running.enter_context(
            run_service(settings.model_copy(update={"workers": count}), url, _name_service(count, counts))
        ).target
        for count in counts
    ]


def _run_rounds(targets: Sequence[Target], profile: LoadProfile, rounds: int) -> dict[str, list[Round]]:
    with progress("bench", len(targets) * rounds, "rounds") as bar:
        return run_interleaved(
            {target.name: partial(run_round, target, profile) for target in targets},
            rounds,
            lambda name, finished: bar.advance(note=f"{name} {finished.result.rate:,.0f} req/s"),
        )


def _measure_ceiling(profile: LoadProfile) -> Round:
    """Measure the generator against a server that does nothing, the maximum that it can measure."""
    with run_uvicorn("bare", "app.bench.serve.echo:bare", 1, factory=False) as bare:
        return run_round(bare, replace(profile, seconds=min(profile.seconds, MAX_CEILING_S), rate=None))


def _name_service(count: int, counts: Sequence[int]) -> str:
    return "recommend" if count == counts[-1] else f"recommend_{count}"


def _list_scaling(counts: Sequence[int], summaries: Mapping[str, ServerSummary]) -> dict[str, float]:
    return {str(count): round(summaries[_name_service(count, counts)].rps, 1) for count in counts}


def _describe_run(options: ServeOptions) -> dict[str, Any]:
    return {
        "connections": options.connections,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "k": options.k,
        "rate": options.rate,
        "writes": options.write_share,
        "filter": options.item_filter,
        "rules": options.rules,
    }


def _format_report(
    options: ServeOptions,
    summaries: Mapping[str, ServerSummary],
    missing: Mapping[str, str],
    reasons: Sequence[str],
    machine: str,
    workers: int,
) -> str:
    result = build_result(summaries)
    ratios = [name.removeprefix("ratio_") for name in result if name.startswith("ratio_")]
    loop = f"{options.connections} connections" if options.rate is None else f"offered load {options.rate:g} req/s"
    return "\n".join(
        [
            format_rounds_table(summary for name, summary in summaries.items() if name != "generator"),
            *(f"{name}: not measured: {reason}" for name, reason in missing.items()),
            *(f"recommend / {name}: {result[f'ratio_{name}']}" for name in ratios),
            f"recommend / echo: {result['ratio']}, {loop}, {workers} workers each",
            *format_remarks(summaries["recommend"], summaries["generator"]),
            f"machine: {machine}",
            *(f"not passed: {reason}" for reason in reasons),
        ]
    )
