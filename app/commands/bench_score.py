"""`nextup bench score`: the ways of scoring a catalogue, by its size and by batch size, on tables made up at random.

Knows its options and prints; what is timed is in models/benchmarks/scoring.py.
"""

import argparse
import json
from pathlib import Path

import torch

from app.bench.record import collect_machine_facts, record
from models.benchmarks.scoring import FORMS, ScorerTiming, figures, measure_scorers, table
from models.progress import progress

DIM = 64


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", default="10000,100000,1000000", help="catalogue sizes, separated by commas")
    parser.add_argument("--batches", default="1,32", help="histories scored together, separated by commas")
    parser.add_argument("--forms", default=",".join(FORMS), help="what is scored, separated by commas")
    parser.add_argument("--dim", type=int, default=DIM, help=f"width of a vector ({DIM})")
    parser.add_argument("--rounds", type=int, default=5, help="times each scorer runs, in turn with the others (5)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (1)")
    parser.add_argument("--approximate", action="store_true", help="with the approximate scorer; builds its index")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write score.md and score.json there")


def run(arguments: argparse.Namespace) -> int:
    sizes, batches = _numbers("--items", arguments.items), _numbers("--batches", arguments.batches)
    for option in ("dim", "rounds", "threads"):
        if getattr(arguments, option) < 1:
            raise ValueError(f"--{option} is {getattr(arguments, option)}; at least 1")
    forms = arguments.forms.split(",")
    if unknown := set(forms) - FORMS.keys():
        raise ValueError(f"no form is called {min(unknown)!r}; there are {', '.join(FORMS)}")
    torch.set_num_threads(arguments.threads)
    facts = collect_machine_facts()
    found: list[ScorerTiming] = []
    with progress("score", len(sizes) * len(forms), "tables") as shown:
        for items in sizes:
            for form in forms:
                found += measure_scorers(
                    form, items, batches, arguments.rounds, arguments.dim, approximate=arguments.approximate
                )
                shown.advance(note=f"{form} {items:,}")
    result = {"dim": arguments.dim, "threads": arguments.threads, "rows": figures(found)}
    print(table(found))
    if arguments.record:
        record(arguments.record, "score", table(found), result, facts)
    print(json.dumps(result))
    return 0


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ValueError(f"{option} is {text!r}; numbers from 1 on, separated by commas, are meant")
    return numbers
