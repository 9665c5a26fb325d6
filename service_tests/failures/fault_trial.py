"""One fault under checked load, and its figures."""

import asyncio
import time
from pathlib import Path

from service_tests.failures.checked_load import MAX_EXAMPLES
from service_tests.failures.fault_scene import Scene, open_scene
from service_tests.failures.faults import Fault
from service_tests.failures.metric_watch import MetricWatch
from service_tests.support.service_processes import WORKER

BEFORE_S = 2.0
"""Load before the fault."""
QUIET_S = 4.0
"""The service is as before once every answer has been as before for so long."""
RECOVERY_LIMIT_S = 60.0


def run_fault(name: str, fault: Fault, folder: Path) -> dict[str, object]:
    """Start a service, let the fault happen under load, wait for the recovery, and return the figures."""
    with open_scene(fault.arrangement, folder) as scene:
        return {"fault": name, **asyncio.run(_run(fault, scene))}


async def _run(fault: Fault, scene: Scene) -> dict[str, object]:
    load = scene.load
    await load.prepare()
    load.start()
    await asyncio.sleep(BEFORE_S)
    load.raise_failures()
    before, load.tally.answers = load.tally, load.tally.answers.copy()
    load.reset()
    watch = MetricWatch(scene.service.port)
    await watch.start()
    workers = len(scene.find_pids(WORKER))
    faulted_at = time.monotonic()
    await fault.inject(scene)
    over_at = time.monotonic()
    is_recovered = await _wait_until_quiet(scene, workers)
    await load.stop()
    await watch.stop()
    compared = await load.compare_histories()
    tally = load.tally
    reference = faulted_at if scene.repaired_at is None else scene.repaired_at
    return {
        "requests": tally.requests,
        "answers": dict(tally.answers.most_common()),
        "errors": dict(tally.errors.most_common()),
        "wrong": len(before.wrong) + len(tally.wrong),
        "wrong_examples": (before.wrong + tally.wrong)[:MAX_EXAMPLES],
        "acknowledged": load.acknowledged.total(),
        **compared,
        "slowest_s": round(tally.slowest_s, 2),
        "fault_s": round(over_at - faulted_at, 1),
        "errors_until_s": None if tally.error_at is None else round(tally.error_at - faulted_at, 1),
        "is_recovered": is_recovered,
        "is_repaired_from_outside": scene.repaired_at is not None,
        "recovery_s": round(max(0.0, (tally.degraded_at or 0.0) - reference), 1),
        "metric": fault.metric,
        "metric_change": watch.get_change(fault.metric),
        "alert": fault.alert,
    }


async def _wait_until_quiet(scene: Scene, workers: int) -> bool:
    """Wait until answers are as before and no worker is missing; False if that takes too long."""
    tally, over_at = scene.load.tally, time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        scene.load.raise_failures()
        now = time.monotonic()
        quiet_since = max(over_at, tally.degraded_at or 0.0)
        if now - quiet_since > QUIET_S and len(scene.find_pids(WORKER)) >= workers:
            return True
        if now - over_at > RECOVERY_LIMIT_S:
            return False
