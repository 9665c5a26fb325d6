"""Plans and tallies for the tests of the benchmark, with everything set that a test does not speak of."""

from dataclasses import replace

import numpy as np

from app.bench.load.profile import Latencies, LoadProfile, LoadResult

PLAN = LoadProfile(
    host="127.0.0.1",
    port=1,
    path="/recommend",
    bodies=('{"user_id": "a"}', '{"user_id": "b"}', '{"user_id": "c"}'),
    connections=4,
    warm_up_s=0.0,
    seconds=0.2,
    timeout_s=5.0,
)

NOTHING: Latencies = np.empty(0)


def tally(
    answered: int = 10,
    *,
    seconds: float = 1.0,
    latencies_s: Latencies = NOTHING,
    statuses: dict[int, int] | None = None,
    failures: dict[str, int] | None = None,
    served_by: dict[str, int] | None = None,
    cpu_s: float = 0.1,
) -> LoadResult:
    base = LoadResult(
        seconds, answered, latencies_s, {}, {}, {}, {}, all_answers=answered, cpu_s=cpu_s, elapsed_s=seconds
    )
    return replace(base, statuses=statuses or {}, failures=failures or {}, served_by=served_by or {})
