"""`nextup bench score`: all scorers by catalogue size and batch size, on random tables."""

import json
from dataclasses import asdict

import torch

from app.bench.record import collect_machine_facts, write_record
from app.commands.options.bench_score import BenchScoreOptions
from models.benchmarks.scoring import ScorerTiming, format_scoring_table, measure_scorers
from models.progress import progress


def run(arguments: BenchScoreOptions) -> int:
    torch.set_num_threads(arguments.threads)
    facts = collect_machine_facts()
    timings: list[ScorerTiming] = []
    with progress("score", len(arguments.items) * len(arguments.forms), "tables") as bar:
        for items in arguments.items:
            for form in arguments.forms:
                timings += measure_scorers(
                    form,
                    items,
                    arguments.batches,
                    arguments.rounds,
                    arguments.dim,
                    approximate=arguments.approximate,
                    transitions=arguments.transitions,
                    mask_share=arguments.mask,
                )
                bar.advance(note=f"{form} {items:,}")
    text = format_scoring_table(timings)
    result = {
        "dim": arguments.dim,
        "threads": arguments.threads,
        "mask": arguments.mask,
        "rows": [asdict(timing) for timing in timings],
    }
    print(text)
    if arguments.record:
        write_record(arguments.record, "score", text, result, facts)
    print(json.dumps(result))
    return 0
