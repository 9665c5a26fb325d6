"""`nextup bench scaling`: latency and memory of the service on catalogues of growing size, without training."""

import json
import sys
from typing import Any

from app.bench.record import collect_machine_facts, format_provenance, write_record
from app.bench.scaling import ScaleOptions, ScaleResult, format_scaling_table, run_step
from app.bench.scaling_page import build_scaling_page
from app.commands.options.bench_scaling import DEFAULT_STEPS, BenchScalingOptions, parse_steps
from app.environment import load_settings
from app.model_server.placement import resolve_placement
from app.runtime.subprocesses import ChildFailed
from models.reports.page import write_page


def run(arguments: BenchScalingOptions) -> int:
    workers: dict[str, Any] = {} if arguments.workers is None else {"workers": arguments.workers}
    settings = resolve_placement(load_settings(**workers))
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
        for step in arguments.steps or parse_steps(DEFAULT_STEPS):
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
    if arguments.report:
        write_page(arguments.report, build_scaling_page(results, result, format_provenance(facts)))
    print(json.dumps(result))
    return 0 if not reasons else 1
