"""`nextup bench encode`: histories to hidden vectors, torch and native code in turn, weights at random.

Knows which models and histories are measured; how is in models/benchmarks/encoding.py.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app.bench.record import collect_machine_facts, record
from app.bench.serve.report import format_machine_line
from models.batch import History
from models.benchmarks.encoding import EncodeRate, measure_encode_rates, median_seconds, sgemm_flops
from models.benchmarks.flops import count_operations
from models.build import build_model
from models.predictor import Predictor
from models.presets import preset
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.choice import choose_runner
from models.runners.torch_runner import TorchRunner

PRESETS = ("blossom", "sasrec")
BATCHES, LENGTHS = (1, 8, 32), (50, 200)
LONG = 2048
CPU = torch.device("cpu")
HEAD = ("preset", "batch", "length", "torch seq/s", "native seq/s", "ratio", "CPU µs/seq", "GFLOP/s", "of sgemm")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="rounds per case, runners in turn (5)")
    parser.add_argument("--seconds", type=float, default=0.1, help="per runner and round (0.1)")
    parser.add_argument("--items", type=int, default=3416, help="items of the catalogue (3416, as ML-1M)")
    parser.add_argument("--threads", type=int, default=1, help="compute threads (1)")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write encode.md and encode.json there")


def run(arguments: argparse.Namespace) -> int:
    for name, least in (("rounds", 1), ("seconds", 1e-6), ("items", 1), ("threads", 1)):
        if not getattr(arguments, name) >= least:
            raise ValueError(f"--{name} is {getattr(arguments, name)}; at least {least:g}")
    torch.set_num_threads(arguments.threads)
    machine, facts = format_machine_line(arguments.threads), collect_machine_facts()
    sgemm = sgemm_flops(rounds=arguments.rounds, seconds=arguments.seconds)
    cases = [case for name in PRESETS for case in _cases(name, arguments, sgemm)]
    long = {name: _long(name, arguments) for name in PRESETS}
    told = [
        f"{name}, max_len {LONG:,}, histories of 50 and {LONG:,}, CPU: {_told(found)}" for name, found in long.items()
    ]
    told += [f"native: {_native_name(arguments.items)}", f"sgemm: {sgemm / 1e9:.0f} GFLOP/s of CPU time"]
    text = "\n".join([_table(cases), *told])
    result = {"cases": cases, "long_ms": long, "sgemm_gflops": round(sgemm / 1e9, 1), "machine": machine}
    print(f"{text}\nmachine: {machine}")
    if arguments.record:
        record(arguments.record, "encode", text, result, facts)
    print(json.dumps(result))
    return 0


def _told(long: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{what} {long[what][0]:.2f} and {long[what][1]:.2f} ms" for what in ("encode", "top_k"))


def _cases(name: str, arguments: argparse.Namespace, sgemm: float) -> list[dict[str, Any]]:
    model, runners = _model(name, arguments.items)
    found = []
    for batch in BATCHES:
        for length in LENGTHS:
            histories = _histories(batch, length, arguments.items)
            rates = measure_encode_rates(runners, histories, rounds=arguments.rounds, seconds=arguments.seconds)
            found.append(_case(rates, count_operations(model, length), sgemm) | _named(name, batch, length))
    return found


def _named(name: str, batch: int, length: int) -> dict[str, Any]:
    return {"preset": name, "batch": batch, "length": length}


def _case(rates: dict[str, EncodeRate], flops: int, sgemm: float) -> dict[str, Any]:
    """Figures of both runners; native ones are None where torch is all there is."""
    native = rates.get("native")
    return {
        "torch_per_s": round(rates["torch"].per_second, 1),
        "torch_cpu_us": round(rates["torch"].cpu_s * 1e6, 2),
        "native_per_s": round(native.per_second, 1) if native else None,
        "native_cpu_us": round(native.cpu_s * 1e6, 2) if native else None,
        "ratio": round(rates["torch"].cpu_s / native.cpu_s, 2) if native else None,
        "native_gflops": round(flops / native.cpu_s / 1e9, 1) if native else None,
        "of_sgemm": round(flops / native.cpu_s / sgemm, 3) if native else None,
    }


def _long(name: str, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Milliseconds of CPU for one history of 50 and one of LONG: encoding alone, and with the best ten items."""
    model, runners = _model(name, arguments.items, max_len=LONG)
    runner = runners.get("native", runners["torch"])
    predictor = Predictor(model, CPU, runner)
    predictor.choose_scorers()  # as a load does
    found: dict[str, list[float]] = {"encode": [], "top_k": []}
    for length in (50, LONG):
        [history] = _histories(1, length, arguments.items)
        for what, call in (
            ("encode", lambda h=history: runner.encode([h])),
            ("top_k", lambda h=history: predictor.top_k([h], 10)),
        ):
            call()
            found[what].append(1e3 * median_seconds(call, rounds=20 * arguments.rounds))
    return {what: (round(short, 4), round(long, 4)) for what, (short, long) in found.items()}


def _model(name: str, items: int, **sizes: int) -> tuple[SequentialRecommender, dict[str, Runner]]:
    torch.manual_seed(0)
    model = build_model(replace(preset(name), **sizes), items).eval()  # type: ignore[arg-type]
    reference, chosen = TorchRunner(model, CPU), choose_runner(model, CPU)
    return model, {"torch": reference} if isinstance(chosen, TorchRunner) else {"torch": reference, "native": chosen}


def _native_name(items: int) -> str:
    _, runners = _model(PRESETS[0], items)
    return (
        runners["native"].name
        if "native" in runners
        else "none here: `build_python_command -m models.native.build` says why"
    )


def _histories(batch: int, length: int, items: int) -> list[History]:
    return list(np.random.default_rng(0).integers(1, items + 1, (batch, length)))


def _table(cases: Sequence[dict[str, Any]]) -> str:
    rows = [HEAD, *(_row(case) for case in cases)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _row(case: dict[str, Any]) -> tuple[str, ...]:
    shown = [case["preset"], str(case["batch"]), str(case["length"]), f"{case['torch_per_s']:,.0f}"]
    if case["native_per_s"] is None:
        return (*shown, *["–"] * 5)
    figures = (f"{case['native_per_s']:,.0f}", f"{case['ratio']:.1f}", f"{case['native_cpu_us']:.1f}")
    return (*shown, *figures, f"{case['native_gflops']:.0f}", f"{case['of_sgemm']:.0%}")
