"""`nextup bench ladder`: the real service on catalogues of growing size, each at a rate of its own.

Knows which processes to start and in which order. Rungs and verdicts are in `app/bench/scaling.py`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from app.bench.load.profile import LoadProfile
from app.bench.load.traffic import build_read_bodies, generate_events, sample_by_weight
from app.bench.processes import LOOPBACK
from app.bench.record import collect_machine_facts, record
from app.bench.resources import read_memory
from app.bench.scaling import DEFAULT_STEPS, ScaleResult, ScaleStep, format_scaling_table
from app.bench.serve.histories import read_histories
from app.bench.serve.recall import fetch_answers, recall
from app.bench.serve.report import summarize_rounds
from app.bench.serve.rounds import run_round
from app.bench.serve.service import run_service
from app.cli.load_histories import load_events
from app.model_server.placement import resolve_placement
from app.runtime.subprocesses import ChildFailed
from app.settings import Settings
from app.stores.session import redis_url
from models.artifact import load_artifact
from models.benchmarks.synthetic_artifact import make_law, make_synthetic_artifact
from models.benchmarks.synthetic_index import make_synthetic_index
from models.indexing import MIN_INDEX_ITEMS, drop_index
from models.scorers.ann.ivf_index import has_faiss

K = 10
BODIES = 20_000
CONNECTIONS = 128
TIMEOUT_S = 10.0
WARM_UP_S = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rungs", default=DEFAULT_STEPS, metavar="ITEMS@RATE,…", help=f"({DEFAULT_STEPS})")
    parser.add_argument("--preset", default="blossom", help="whose sizes the untrained models have (blossom)")
    parser.add_argument("--workers", type=int, metavar="N", help="HTTP processes (NEXTUP_WORKERS)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured per rung (30)")
    parser.add_argument("--users", type=int, default=20_000, help="with histories, who ask (20000)")
    parser.add_argument("--sample", type=int, default=100, help="histories asked for recall (100); 0: none")
    parser.add_argument("--no-index", action="store_true", help=f"exact answers from {MIN_INDEX_ITEMS:,} items on too")
    parser.add_argument("--out", type=Path, default=Path("var/ladder"), help="where artifacts are kept (var/ladder)")
    parser.add_argument("--seed", type=int, default=0, help="of the artifacts, histories and requests")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write ladder.md and ladder.json there")


def run(arguments: argparse.Namespace) -> int:
    rungs = ScaleStep.parse_all(arguments.rungs)
    for name, least in (("seconds", 0.01), ("users", 1), ("sample", 0)):
        if getattr(arguments, name) < least:
            raise ValueError(f"--{name} is {getattr(arguments, name)}; at least {least}")
    settings = resolve_placement(Settings(**({} if arguments.workers is None else {"workers": arguments.workers})))
    facts = collect_machine_facts()
    climbed: list[ScaleResult] = []
    try:
        for rung in rungs:
            climbed.append(_climb(arguments, settings, rung))
            print(format_scaling_table(climbed[-1:]).splitlines()[-1], file=sys.stderr)
    except ChildFailed as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1
    table = "\n".join(
        [
            format_scaling_table(climbed),
            *(f"{one.rung.items:,} items not passed: {reason}" for one in climbed for reason in one.failure_reasons),
        ]
    )
    passed = not any(one.failure_reasons for one in climbed)
    result = {
        "preset": arguments.preset,
        "workers": settings.worker_count,
        "seconds": arguments.seconds,
        "users": arguments.users,
        "rungs": [one.figures() for one in climbed],
        "passed": passed,
    }
    print(table)
    if arguments.record:
        record(arguments.record, "ladder", table, result, facts)
    print(json.dumps(result))
    return 0 if passed else 1


def _climb(arguments: argparse.Namespace, settings: Settings, rung: ScaleStep) -> ScaleResult:
    folder = make_synthetic_artifact(arguments.out, arguments.preset, rung.items, seed=arguments.seed)
    events = generate_events(make_law(rung.items, users=arguments.users, seed=arguments.seed))
    asking = sample_by_weight(
        events["user_id"].to_list(), None, BODIES, arguments.seed
    )  # an event each: who has many asks often
    began = time.monotonic()
    told = None
    if arguments.no_index:
        drop_index(folder)
    elif rung.items >= MIN_INDEX_ITEMS and has_faiss():
        told = make_synthetic_index(folder, events)
    index_s = time.monotonic() - began
    with ExitStack() as running:
        own = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="nextup-bench-")))
        of_rung = settings.model_copy(update={"artifact": folder, "data_dir": own, "redis_url": None})
        url = running.enter_context(redis_url(of_rung))
        asyncio.run(load_events(url, of_rung, events))
        with run_service(of_rung, url) as service:
            before = read_memory(service.process.pid)
            summary = summarize_rounds("recommend", [run_round(service.target, _plan(arguments, rung, asking))])
            after = read_memory(service.process.pid)
            answered = fetch_answers(service.target, asking[: arguments.sample], K)
        found = None
        if answered:
            histories = asyncio.run(read_histories(url, of_rung, list(answered)))
            found = recall(load_artifact(folder, device="cpu"), answered, histories)
    size = sum(file.stat().st_size for file in folder.iterdir())
    return ScaleResult(rung, summary, before, after, size, service.seconds, found, told, index_s if told else None)


def _plan(arguments: argparse.Namespace, rung: ScaleStep, asking: list[str]) -> LoadProfile:
    return LoadProfile(
        host=LOOPBACK,
        port=0,
        path="",
        bodies=build_read_bodies(asking, K),
        connections=CONNECTIONS,
        warm_up_s=min(WARM_UP_S, arguments.seconds),
        seconds=arguments.seconds,
        timeout_s=TIMEOUT_S,
        rate=rung.rate,
        seed=arguments.seed,
    )
