"""Goodput of a running service at several times its capacity, in an open loop, and how fast it refuses the remainder.

The peak is that of a closed loop before and after, while all cores are busy, as they are during the overload. Goodput
counts answers of the model within the deadline; refusals are all other responses: 429 and 503, and popular items
because of overload. Their latency counts from the time at which the request was due.
"""

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from app.bench.load.busy_core import keep_cores_busy
from app.bench.load.json_client import CallFailed, JsonClient
from app.bench.load.profile import LoadProfile, LoadResult
from app.bench.serve.rounds import run_generator

MODEL = "model"
PEAK_CONNECTIONS = 64
MIN_PEAK_S, PEAK_SHARE = 2.0, 0.2
"""The peak is measured for this share of the time, before and after."""
TIMEOUT_S = 5.0
MIN_GOODPUT_SHARE = 0.9
MAX_REFUSAL_P99_S = 0.01
PROBE_S = 0.1
WARM_UP_S = 5.0
"""Thousands of connections are opened in this time, which costs the service more than their requests."""


@dataclass(frozen=True, slots=True)
class OverloadResult:
    """Rates in requests per second. `with_retry_after` is None if no probe was refused."""

    peak: float
    offered: float
    goodput: float
    refusal_p99_s: float | None
    statuses: dict[int, int]
    failures: dict[str, int]
    served_by: dict[str, int]
    with_retry_after: bool | None

    @property
    def goodput_share(self) -> float:
        return self.goodput / self.peak

    @property
    def failure_reasons(self) -> list[str]:
        """Why the service has not passed."""
        reasons = []
        if self.goodput_share < MIN_GOODPUT_SHARE:
            reasons.append(f"goodput is {self.goodput_share:.0%} of the peak, less than {MIN_GOODPUT_SHARE:.0%}")
        if self.refusal_p99_s is not None and self.refusal_p99_s > MAX_REFUSAL_P99_S:
            reasons.append(f"p99 of refusals is {1e3 * self.refusal_p99_s:.1f} ms, not {1e3 * MAX_REFUSAL_P99_S:g}")
        if self.with_retry_after is False:
            reasons.append("a refusal has no Retry-After")
        if self.failures:
            reasons.append(f"requests without a response: {self.failures}")
        return reasons

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "goodput_share": self.goodput_share,
            "failure_reasons": self.failure_reasons,
            "passed": not self.failure_reasons,
        }


def measure_overload(profile: LoadProfile, factor: float, deadline_s: float) -> OverloadResult:
    """Measure the peak of `profile`, then offer `factor` times as much for its seconds, then the peak again."""
    peak_profile = _change(profile, None, max(MIN_PEAK_S, PEAK_SHARE * profile.seconds), PEAK_CONNECTIONS)
    with keep_cores_busy():
        before = compute_goodput(run_generator(peak_profile), deadline_s)
        overloaded, with_retry_after = asyncio.run(_overload(_change(profile, factor * before, profile.seconds)))
        after = compute_goodput(run_generator(peak_profile), deadline_s)
    refusals = overloaded.refusal_latencies_s
    return OverloadResult(
        peak=(before + after) / 2,
        offered=factor * before,
        goodput=compute_goodput(overloaded, deadline_s),
        refusal_p99_s=float(np.percentile(refusals, 99)) if len(refusals) else None,
        statuses=overloaded.statuses,
        failures=overloaded.failures,
        served_by=overloaded.served_by,
        with_retry_after=with_retry_after,
    )


def compute_goodput(result: LoadResult, deadline_s: float) -> float:
    """Answers of the model per second that arrived within the deadline."""
    sampled = sum(result.served_by.values())
    model_share = result.served_by.get(MODEL, 0) / sampled if sampled else 0.0
    return float((result.latencies_s <= deadline_s).sum()) * model_share / result.seconds


async def _overload(profile: LoadProfile) -> tuple[LoadResult, bool | None]:
    """Run the profile in another process, and meanwhile look at the headers of refusals."""
    headers: list[bool] = []
    probing = asyncio.create_task(_probe(profile, headers))
    result = await asyncio.to_thread(run_generator, profile)
    probing.cancel()
    await asyncio.wait([probing])
    return result, all(headers) if headers else None


async def _probe(profile: LoadProfile, headers: list[bool]) -> None:
    client = JsonClient([profile.port])
    try:
        while True:
            await asyncio.sleep(PROBE_S)
            with suppress(CallFailed):
                answer = await client.call("POST", profile.path, {"history": []}, timeout_s=TIMEOUT_S)
                if answer.status in (429, 503):
                    headers.append("retry-after" in answer.headers)
    finally:
        client.close()


def _change(profile: LoadProfile, rate: float | None, seconds: float, connections: int | None = None) -> LoadProfile:
    return replace(
        profile, rate=rate, seconds=seconds, connections=connections or profile.connections, warm_up_s=WARM_UP_S
    )
