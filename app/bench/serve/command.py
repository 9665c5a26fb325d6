"""`nextup bench serve`: the real service under load, in turn with a bare FastAPI echo and, if asked for, with peers.

Knows which processes to start; what is asked is in `bench_requests.py`, how load is made and told in app/bench.
"""

import argparse
import asyncio
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from app.bench.load.profile import LoadProfile
from app.bench.record import collect_machine_facts, record
from app.bench.serve.histories import open_benchmark_store, read_users
from app.bench.serve.options import checked, configure, parse_target
from app.bench.serve.peer_runs import parse_peers, start_peers
from app.bench.serve.recall import fetch_answers
from app.bench.serve.report import (
    ServerSummary,
    figures,
    find_missed_targets,
    format_machine_line,
    format_remarks,
    summarize_rounds,
    table,
)
from app.bench.serve.rounds import Round, Target, run_interleaved, run_round, run_uvicorn
from app.bench.serve.service import run_service
from app.bench.serve.workload import build_profile
from app.model_repository.repository import ModelRepository
from app.model_server.placement import resolve_placement
from app.runtime.subprocesses import ChildFailed
from app.settings import Settings
from models.progress import progress

__all__ = ["configure", "run"]

CEILING_S = 3.0
SAME = 20  # users whose answers are compared with those of peers


def run(arguments: argparse.Namespace) -> int:
    counts = checked(arguments)
    given = {"artifact": arguments.artifact, "workers": counts[-1] if counts else None}
    settings = resolve_placement(Settings(**{name: value for name, value in given.items() if value is not None}))
    versions = ModelRepository(settings.artifact)
    if versions.has_artifact():  # one version for the service and its peers, whichever is wanted while they run
        settings = settings.model_copy(update={"artifact": versions.find_target_folder()})
    try:
        with ExitStack() as running:
            return _bench_serve(arguments, settings, counts or [settings.worker_count], running)
    except ChildFailed as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1


def _bench_serve(arguments: argparse.Namespace, settings: Settings, counts: list[int], running: ExitStack) -> int:
    machine = format_machine_line(settings.torch_threads or max(1, (os.cpu_count() or 1) // settings.worker_count))
    facts = collect_machine_facts()
    url = running.enter_context(open_benchmark_store(arguments, settings))
    users = asyncio.run(read_users(url, settings))
    if not users:
        raise ValueError("the store holds no histories to ask for: `nextup load` a log first, or name it here")
    plan = build_profile(arguments, settings, url, users)
    targets = _services(arguments, settings, url, counts, running)
    peers, missing = start_peers(parse_peers(arguments.peers), settings, url, arguments.torchserve, running)
    same = _same_answers(targets[-1], peers, users[:SAME])
    echo = running.enter_context(
        run_uvicorn("echo", "app.bench.serve.echo:create_echo", settings.worker_count, factory=True)
    )
    everyone = [echo, *peers, *targets]
    ceiling = _ceiling(plan)
    with progress("bench", len(everyone) * arguments.rounds, "rounds") as shown:

        def finished(target: Target, one: Round) -> None:
            shown.advance(note=f"{target.name} {one.tally.answered / one.tally.seconds:,.0f} req/s")

        rounds = run_interleaved(everyone, plan, arguments.rounds, finished)
    summaries = {
        target.name: summarize_rounds(target.name, rounds[target.name]) for target in [*reversed(targets), *peers, echo]
    }
    summaries["generator"] = summarize_rounds("generator", [ceiling])
    reasons = find_missed_targets(summaries["recommend"], summaries["echo"], arguments.min_rps, arguments.max_p99_ms)
    result = figures(summaries) | _about(arguments, summaries["recommend"], settings.worker_count, len(users), machine)
    result |= {
        "scaling": _scaling(counts, summaries),
        "not_measured": missing,
        "same_answers": same,
        "passed": not reasons,
    }
    text = _told(arguments, summaries, missing, reasons, [f"machine: {machine}"], settings.worker_count)
    print(text)
    if arguments.record:
        record(arguments.record, "serve", text, result, facts)
    print(json.dumps(result))
    return 0 if not reasons else 1


def _services(
    arguments: argparse.Namespace, settings: Settings, url: str, counts: list[int], running: ExitStack
) -> list[Target]:
    """One service per number of workers; the last is `recommend`, which everything is compared with."""
    if arguments.url:
        return [parse_target(arguments.url)]
    return [
        running.enter_context(
            run_service(settings.model_copy(update={"workers": count}), url, _name(count, counts))
        ).target
        for count in counts
    ]


def _same_answers(service: Target, peers: list[Target], users: list[str]) -> dict[str, float]:
    """Share of the service's items that each peer answers too: below 1, it does not do the same work."""
    ours = fetch_answers(service, users, 10) if peers else {}
    found = {}
    for peer in peers:
        theirs = fetch_answers(peer, users, 10)
        shared = sum(len(set(items) & set(theirs.get(user, ()))) for user, items in ours.items())
        found[peer.name] = round(shared / max(1, sum(map(len, ours.values()))), 4)
    return found


def _name(count: int, counts: list[int]) -> str:
    return "recommend" if count == counts[-1] else f"recommend_{count}"


def _scaling(counts: list[int], summaries: dict[str, ServerSummary]) -> dict[str, float]:
    return {str(count): round(summaries[_name(count, counts)].rps, 1) for count in counts}


def _about(
    arguments: argparse.Namespace, recommend: ServerSummary, workers: int, users: int, machine: str
) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in ("connections", "seconds", "rounds", "k", "rate", "writes")}
    return {**given, "workers": workers, "users": users, "errors": recommend.error_count, "machine": machine}


def _told(
    arguments: argparse.Namespace,
    summaries: dict[str, ServerSummary],
    missing: dict[str, str],
    reasons: list[str],
    more: list[str],
    workers: int,
) -> str:
    shown = [one for name, one in summaries.items() if name != "generator"]
    found = figures(summaries)
    loop = f"{arguments.connections} connections" if arguments.rate is None else f"{arguments.rate:g} req/s asked"
    ratios = [
        f"recommend / {name.removeprefix('ratio_')}: {found[name]}" for name in found if name.startswith("ratio_")
    ]
    return "\n".join(
        [
            table(shown),
            *(f"{name}: not measured: {why}" for name, why in missing.items()),
            *ratios,
            f"recommend / echo: {found['ratio']}, {loop}, {workers} workers each",
            *format_remarks(summaries["recommend"], summaries["generator"]),
            *more,
            *(f"not passed: {reason}" for reason in reasons),
        ]
    )


def _ceiling(plan: LoadProfile) -> Round:
    """The generator against a server that does nothing: what it could measure at most."""
    with run_uvicorn("bare", "app.bench.serve.echo:bare", 1, factory=False) as bare:
        return run_round(bare, replace(plan, seconds=min(plan.seconds, CEILING_S), rate=None))
