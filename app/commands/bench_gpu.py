"""`nextup bench gpu`: encoding and scoring on a GPU, each beside what the device's memory and arithmetic allow.

Knows its options and prints; what is measured is in models/benchmarks/gpu.py and roofline.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from app.bench.record import collect_machine_facts, get_package_version, record
from models.benchmarks.gpu import GpuCase, figures, measure_encoding, measure_scoring, table
from models.benchmarks.roofline import measure_ceilings
from models.device import choose_device
from models.progress import progress

SIZES = {"cuda": "100000,1000000,10000000", "cpu": "20000"}
BATCHES, LENGTHS = "1,32,128", "50,200"
COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 26}
SIDE = {"cuda": 8192, "cpu": 512}
ROUNDS = {"cuda": 20, "cpu": 3}
DIM = 64


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu is a dry run, and small (cuda)")
    parser.add_argument("--items", help=f"catalogue sizes, separated by commas ({SIZES['cuda']})")
    parser.add_argument("--batches", default=BATCHES, help=f"histories at once, separated by commas ({BATCHES})")
    parser.add_argument("--lengths", default=LENGTHS, help=f"of the histories that are encoded ({LENGTHS})")
    parser.add_argument("--rounds", type=int, help=f"times each case runs ({ROUNDS['cuda']})")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write gpu.md and gpu.json there")


def run(arguments: argparse.Namespace) -> int:
    kind = arguments.device
    sizes = _numbers("--items", arguments.items or SIZES[kind])
    batches, lengths = _numbers("--batches", arguments.batches), _numbers("--lengths", arguments.lengths)
    rounds = ROUNDS[kind] if arguments.rounds is None else arguments.rounds
    if rounds < 1:
        raise ValueError(f"--rounds is {rounds}; at least 1")
    try:
        device = choose_device(kind)
    except ValueError as error:
        raise ValueError(f"{error}; --device cpu is the dry run") from error
    facts = collect_machine_facts() | {"device": device_facts(device)}
    ceilings = measure_ceilings(device, copy_bytes=COPY_BYTES[kind], side=SIDE[kind], rounds=rounds)
    found: list[GpuCase] = []
    with progress("gpu", 0, "cases") as shown:
        for cases in (
            measure_encoding(device, ceilings, min(sizes), lengths, batches, rounds),
            measure_scoring(device, ceilings, sizes, batches, DIM, rounds),
        ):
            for case in cases:
                found.append(case)
                shown.advance(note=f"{case.what} {case.items:,}")
    name = facts["device"]["name"]
    dry = "\na dry run on a CPU: no figure here says anything of a GPU" if kind == "cpu" else ""
    text = f"{table(found)}\n{name}: {ceilings.to_text()}{dry}"
    result = {"device": facts["device"], "ceilings": ceilings.figures(), "cases": figures(found)}
    print(text)
    if arguments.record:
        record(arguments.record, "gpu", text, result, facts)
    print(json.dumps(result))
    return 0


def device_facts(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"name": "CPU"}
    told = torch.cuda.get_device_properties(device)
    return {
        "name": told.name,
        "memory_gb": round(told.total_memory / 1e9, 1),
        "multiprocessors": told.multi_processor_count,
        "capability": f"{told.major}.{told.minor}",
        "cuda": torch.version.cuda,
        "triton": get_package_version("triton"),
    }


def _numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ValueError(f"{option} is {text!r}; numbers from 1 on, separated by commas, are meant")
    return numbers
