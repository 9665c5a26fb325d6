"""`nextup bench scaling`: latency and memory of the service on catalogues of growing size, without training."""

import argparse
import json
import sys
from pathlib import Path

from app.bench.record import collect_machine_facts, write_record
from app.bench.scaling import DEFAULT_STEPS, ScaleOptions, ScaleResult, ScaleStep, format_scaling_table, run_step
from app.cli.arguments import csv_of, float_in, non_negative_int, positive_int
from app.model_server.placement import resolve_placement
from app.runtime.subprocesses import ChildFailed
from app.settings import Settings
from models.indexing import MIN_INDEX_ITEMS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steps",
        type=csv_of(ScaleStep.parse),
        default=DEFAULT_STEPS,
        metavar="ITEMS@RATE,…",
        help=f"catalogue sizes with their rates ({DEFAULT_STEPS})",
    )
    parser.add_argument("--preset", default="blossom", help="preset whose sizes the untrained models have (blossom)")
    parser.add_argument("--workers", type=positive_int, metavar="N", help="HTTP processes (NEXTUP_WORKERS)")
    parser.add_argument("--seconds", type=float_in(0.01), default=30.0, help="measured per step (30)")
    parser.add_argument("--users", type=positive_int, default=20_000, help="users with histories (20000)")
    parser.add_argument(
        "--sample", type=non_negative_int, default=100, help="histories to measure recall on; 0: none (100)"
    )
    parser.add_argument("--no-index", action="store_true", help=f"exact search also from {MIN_INDEX_ITEMS:,} items")
    parser.add_argument("--out", type=Path, default=Path("var/scaling"), help="folder of the artifacts (var/scaling)")
    parser.add_argument("--seed", type=int, default=0, help="seed of artifacts, histories and requests (0)")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write scaling.md and scaling.json to this folder")


def run(arguments: argparse.Namespace) -> int:
    settings = resolve_placement(Settings(**({} if arguments.workers is None else {"workers": arguments.workers})))
    options = ScaleOptions(
        preset=arguments.preset,
        seconds=arguments.seconds,
        users=arguments.users,
        recall_sample=arguments.sample,
        use_index=not arguments.no_index,
        out=arguments.out,
        seed=arguments.seed,
    )
    facts = collect_machine_facts()
    results: list[ScaleResult] = []
    try:
        for step in arguments.steps:
            results.append(run_step(step, options, settings))
            print(format_scaling_table(results[-1:]).splitlines()[-1], file=sys.stderr)
    except ChildFailed as error:
        print(f"nextup: error: {error}", file=sys.stderr)
        return 1
    reasons = [f"{each.step.items:,} items not passed: {reason}" for each in results for reason in each.failure_reasons]
    text = "\n".join([format_scaling_table(results), *reasons])
    result = {
        "preset": arguments.preset,
        "workers": settings.worker_count,
        "seconds": arguments.seconds,
        "users": arguments.users,
        "rungs": [each.to_dict() for each in results],
        "passed": not reasons,
    }
    print(text)
    if arguments.record:
        write_record(arguments.record, "scaling", text, result, facts)
    print(json.dumps(result))
    return 0 if not reasons else 1
