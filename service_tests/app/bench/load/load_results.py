"""A load profile and load results with defaults for the values that a test does not set."""

from dataclasses import replace

import numpy as np

from app.bench.load.profile import Latencies, LoadProfile, LoadResult

PROFILE = LoadProfile(
    host="127.0.0.1",
    port=1,
    path="/recommend",
    bodies=('{"user_id": "a"}', '{"user_id": "b"}', '{"user_id": "c"}'),
    connections=4,
    warm_up_s=0.0,
    seconds=0.2,
    timeout_s=5.0,
)

NO_LATENCIES: Latencies = np.empty(0)


def make_result(
    ok_responses: int = 10,
    *,
    seconds: float = 1.0,
    latencies_s: Latencies = NO_LATENCIES,
    statuses: dict[int, int] | None = None,
    failures: dict[str, int] | None = None,
    served_by: dict[str, int] | None = None,
    cpu_s: float = 0.1,
) -> LoadResult:
    base = LoadResult(
        seconds, ok_responses, latencies_s, {}, {}, {}, {}, all_responses=ok_responses, cpu_s=cpu_s, elapsed_s=seconds
    )
    return replace(base, statuses=statuses or {}, failures=failures or {}, served_by=served_by or {})
