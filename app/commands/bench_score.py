"""`nextup bench score`: all scorers by catalogue size and batch size, on random tables."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch

from app.bench.record import collect_machine_facts, write_record
from app.cli.arguments import csv_ints, csv_of, name_in, positive_int
from models.benchmarks.scoring import FORMS, ScorerTiming, format_scoring_table, measure_scorers
from models.progress import progress

DIM = 64


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--items", type=csv_ints, default="10000,100000,1000000", help="catalogue sizes, comma-separated"
    )
    parser.add_argument("--batches", type=csv_ints, default="1,32", help="comma-separated batch sizes (1,32)")
    parser.add_argument(
        "--forms",
        type=csv_of(name_in(FORMS)),
        default=",".join(FORMS),
        help="comma-separated forms of embedding and head (all)",
    )
    parser.add_argument("--dim", type=positive_int, default=DIM, help=f"width of a vector ({DIM})")
    parser.add_argument("--rounds", type=positive_int, default=5, help="interleaved rounds per scorer (5)")
    parser.add_argument("--threads", type=positive_int, default=1, help="torch threads (1)")
    parser.add_argument(
        "--approximate", action="store_true", help="also build an index and time the approximate scorer"
    )
    parser.add_argument("--record", type=Path, metavar="DIR", help="write score.md and score.json to this folder")


def run(arguments: argparse.Namespace) -> int:
    torch.set_num_threads(arguments.threads)
    facts = collect_machine_facts()
    timings: list[ScorerTiming] = []
    with progress("score", len(arguments.items) * len(arguments.forms), "tables") as bar:
        for items in arguments.items:
            for form in arguments.forms:
                timings += measure_scorers(
                    form, items, arguments.batches, arguments.rounds, arguments.dim, approximate=arguments.approximate
                )
                bar.advance(note=f"{form} {items:,}")
    text = format_scoring_table(timings)
    result = {"dim": arguments.dim, "threads": arguments.threads, "rows": [asdict(timing) for timing in timings]}
    print(text)
    if arguments.record:
        write_record(arguments.record, "score", text, result, facts)
    print(json.dumps(result))
    return 0
