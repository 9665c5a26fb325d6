"""`nextup bench encode`: histories to hidden vectors, torch and native code interleaved, with random weights."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from app.bench.record import collect_machine_facts, write_record
from app.bench.serve.report import format_machine_line
from app.commands.options.bench_encode import BenchEncodeOptions
from models.batch import History
from models.benchmarks.encoding import EncodeRate, measure_encode_rates, measure_sgemm_flops
from models.benchmarks.flops import count_operations
from models.benchmarks.timing import measure_median_seconds
from models.build import build_model
from models.predictor import Predictor
from models.presets import preset
from models.recommender import SequentialRecommender
from models.runners.base import Runner
from models.runners.choice import choose_runner
from models.runners.torch_runner import TorchRunner
from models.text_table import format_text_table

PRESETS = ("blossom", "sasrec")
BATCHES, LENGTHS = (1, 8, 32), (50, 200)
LONG = 2048
CALLS_PER_ROUND = 20
K = 10
CPU = torch.device("cpu")
HEAD = ("preset", "batch", "length", "torch seq/s", "native seq/s", "ratio", "CPU µs/seq", "GFLOP/s", "of sgemm")


def run(arguments: BenchEncodeOptions) -> int:
    torch.set_num_threads(arguments.threads)
    machine, facts = format_machine_line(arguments.threads), collect_machine_facts()
    sgemm = measure_sgemm_flops(rounds=arguments.rounds, seconds=arguments.seconds)
    cases = [case for name in PRESETS for case in _measure_cases(name, arguments, sgemm)]
    long = {name: _measure_long(name, arguments) for name in PRESETS}
    lines = [
        f"{name}, max_len {LONG:,}, histories of 50 and {LONG:,}, CPU: {_format_long(timings)}"
        for name, timings in long.items()
    ]
    lines += [f"native: {_find_native_name(arguments.items)}", f"sgemm: {sgemm / 1e9:.0f} GFLOP/s of CPU time"]
    text = "\n".join([format_text_table(HEAD, [_make_row(case) for case in cases]), *lines])
    result = {"cases": cases, "long_ms": long, "sgemm_gflops": round(sgemm / 1e9, 1), "machine": machine}
    print(f"{text}\nmachine: {machine}")
    if arguments.record:
        write_record(arguments.record, "encode", text, result, facts)
    print(json.dumps(result))
    return 0


def _format_long(timings: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{name} {short_ms:.2f} and {long_ms:.2f} ms" for name, (short_ms, long_ms) in timings.items())


def _measure_cases(name: str, arguments: BenchEncodeOptions, sgemm: float) -> list[dict[str, Any]]:
    model, runners = _build_runners(name, arguments.items)
    cases = []
    for batch in BATCHES:
        for length in LENGTHS:
            histories = _make_histories(batch, length, arguments.items)
            rates = measure_encode_rates(runners, histories, rounds=arguments.rounds, seconds=arguments.seconds)
            labels = {"preset": name, "batch": batch, "length": length}
            cases.append(_describe_case(rates, count_operations(model, length), sgemm) | labels)
    return cases


def _describe_case(rates: dict[str, EncodeRate], flops: int, sgemm: float) -> dict[str, Any]:
    """Describe both runners; native values are None if only torch is available."""
    reference, native = rates["torch"], rates.get("native")
    return {
        "torch_per_s": round(reference.per_second, 1),
        "torch_cpu_us": round(reference.cpu_s * 1e6, 2),
        "native_per_s": round(native.per_second, 1) if native else None,
        "native_cpu_us": round(native.cpu_s * 1e6, 2) if native else None,
        "ratio": round(reference.cpu_s / native.cpu_s, 2) if native else None,
        "native_gflops": round(flops / native.cpu_s / 1e9, 1) if native else None,
        "of_sgemm": round(flops / native.cpu_s / sgemm, 3) if native else None,
    }


def _measure_long(name: str, arguments: BenchEncodeOptions) -> dict[str, tuple[float, float]]:
    """Measure CPU ms for one history of 50 and one of LONG items: encoding only, and including the top 10."""
    model, runners = _build_runners(name, arguments.items, max_len=LONG)
    runner = runners.get("native", runners["torch"])
    predictor = Predictor(model, CPU, runner)
    predictor.choose_scorers()  # as loading an artifact does
    timings: dict[str, list[float]] = {"encode": [], "top_k": []}
    for length in (50, LONG):
        histories = _make_histories(1, length, arguments.items)
        timings["encode"].append(_measure_cpu_ms(partial(runner.encode, histories), arguments.rounds))
        timings["top_k"].append(_measure_cpu_ms(partial(predictor.top_k, histories, K), arguments.rounds))
    return {name: (round(short, 4), round(long, 4)) for name, (short, long) in timings.items()}


def _measure_cpu_ms(call: Callable[[], object], rounds: int) -> float:
    calls = CALLS_PER_ROUND * rounds
    return 1e3 * measure_median_seconds(call, rounds=calls, warm_ups=1, clock=time.process_time)


def _build_runners(name: str, items: int, **sizes: int) -> tuple[SequentialRecommender, dict[str, Runner]]:
    torch.manual_seed(0)
    model = build_model(replace(preset(name), **sizes), items).eval()  # type: ignore[arg-type]
    reference, selected = TorchRunner(model, CPU), choose_runner(model, CPU)
    if isinstance(selected, TorchRunner):
        return model, {"torch": reference}
    return model, {"torch": reference, "native": selected}


def _find_native_name(items: int) -> str:
    _, runners = _build_runners(PRESETS[0], items)
    if "native" in runners:
        return runners["native"].name
    return "not available; `python -m models.native.build` reports the reason"


def _make_histories(batch: int, length: int, items: int) -> list[History]:
    return list(np.random.default_rng(0).integers(1, items + 1, (batch, length)))


def _make_row(case: dict[str, Any]) -> tuple[str, ...]:
    labels = (case["preset"], str(case["batch"]), str(case["length"]), f"{case['torch_per_s']:,.0f}")
    if case["native_per_s"] is None:
        return (*labels, *["–"] * 5)
    native = (f"{case['native_per_s']:,.0f}", f"{case['ratio']:.1f}", f"{case['native_cpu_us']:.1f}")
    return (*labels, *native, f"{case['native_gflops']:.0f}", f"{case['of_sgemm']:.0%}")
