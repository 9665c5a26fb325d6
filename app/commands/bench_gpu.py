"""`nextup bench gpu`: encoding and scoring on a GPU, compared with its memory and arithmetic ceilings."""

import json
from typing import Any

import torch

from app.bench.record import collect_machine_facts, get_package_version, write_record
from app.commands.options.bench_gpu import CUDA_ROUNDS, CUDA_SIZES, BenchGpuOptions
from models.benchmarks.gpu import GpuCase, format_gpu_table, measure_encoding, measure_scoring
from models.benchmarks.roofline import measure_ceilings
from models.device import choose_device
from models.progress import progress

SIZES = {"cuda": list(CUDA_SIZES), "cpu": [20_000]}
COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 26}
SIDE = {"cuda": 8192, "cpu": 512}
ROUNDS = {"cuda": CUDA_ROUNDS, "cpu": 3}
DIM = 64


def run(arguments: BenchGpuOptions) -> int:
    kind = arguments.device
    sizes, batches, rounds = arguments.items or SIZES[kind], arguments.batches, arguments.rounds or ROUNDS[kind]
    try:
        device = choose_device(kind)
    except ValueError as error:
        raise ValueError(f"{error}; use --device cpu for a dry run") from error
    facts = collect_machine_facts() | {"device": describe_device(device)}
    ceilings = measure_ceilings(device, copy_bytes=COPY_BYTES[kind], side=SIDE[kind], rounds=rounds)
    cases: list[GpuCase] = []
    with progress("gpu", 0, "cases") as bar:
        for measurements in (
            measure_encoding(device, ceilings, min(sizes), arguments.lengths, batches, rounds),
            measure_scoring(device, ceilings, sizes, batches, DIM, rounds),
        ):
            for case in measurements:
                cases.append(case)
                bar.advance(note=f"{case.operation} {case.items:,}")
    name = facts["device"]["name"]
    notice = "\ndry run on a CPU: these numbers do not apply to a GPU" if kind == "cpu" else ""
    text = f"{format_gpu_table(cases)}\n{name}: {ceilings.to_text()}{notice}"
    result = {
        "device": facts["device"],
        "ceilings": ceilings.to_dict(),
        "cases": [case.to_dict() for case in cases],
    }
    print(text)
    if arguments.record:
        write_record(arguments.record, "gpu", text, result, facts)
    print(json.dumps(result))
    return 0


def describe_device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"name": "CPU"}
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_gb": round(properties.total_memory / 1e9, 1),
        "multiprocessors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "triton": get_package_version("triton"),
    }
