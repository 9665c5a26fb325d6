"""`nextup bench overload`: goodput and refusals of a running service at several times its capacity."""

import json

from app.bench.overload import TIMEOUT_S, OverloadResult, measure_overload
from app.bench.serve.rounds import Target
from app.bench.synthetic_users import build_traffic_profile
from app.commands.options.bench_overload import BenchOverloadOptions


def run(arguments: BenchOverloadOptions) -> int:
    profile = build_traffic_profile(
        Target.from_url(arguments.url),
        num_users=arguments.users,
        rate=1.0,
        write_share=0.0,
        connections=arguments.connections,
        k=arguments.k,
        seed=arguments.seed,
        seconds=arguments.seconds,
        timeout_s=TIMEOUT_S,
    )
    result = measure_overload(profile, arguments.factor, arguments.deadline_ms / 1000)
    print(format_overload(result))
    print(json.dumps(result.to_dict()))
    return 0 if not result.failure_reasons else 1


def format_overload(result: OverloadResult) -> str:
    refusals = "none" if result.refusal_p99_s is None else f"p99 {1e3 * result.refusal_p99_s:.1f} ms"
    lines = [
        f"peak     {result.peak:,.0f} requests/s answered by the model",
        f"offered  {result.offered:,.0f} requests/s",
        f"goodput  {result.goodput:,.0f} requests/s, {result.goodput_share:.0%} of the peak",
        f"refusals {refusals}",
        *(f"not passed: {reason}" for reason in result.failure_reasons),
    ]
    return "\n".join(lines)
