"""A merge whose process is killed behind its commit: the repetition finishes it and reports what it has added."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, run_service
from service_tests.support.patched_processes import patch_processes
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
TIMEOUT_S = 60.0
_PATCH = """
import os, signal

REQUEST = {request!r}


def patch(module):
    merge, enter = module.Merges.merge, module.Merges._enter

    def die_at(point):
        claim = f"{{REQUEST}}-{{os.getpid()}}"
        try:
            if open(REQUEST).read() == point:
                os.rename(REQUEST, claim)
                os.kill(os.getpid(), signal.SIGKILL)
        except FileNotFoundError:
            pass

    async def enter_or_die(self, step):
        die_at(step)
        await enter(self, step)

    async def merge_or_die(self, source, target):
        result = await merge(self, source, target)
        die_at("answer")
        return result

    module.Merges._enter, module.Merges.merge = enter_or_die, merge_or_die
"""


@dataclass(frozen=True)
class Killer:
    """Kills the next process that comes to a point of a merge: in front of one of its steps, or of its answer."""

    request: Path

    def kill_at(self, point: str) -> None:
        partial = self.request.with_suffix(".partial")
        partial.write_text(point)
        partial.rename(self.request)


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Killer:
    return Killer(tmp_path_factory.mktemp("killer") / "kill")


@pytest.fixture(scope="module")
def running(
    killer: Killer, tiny_artifact: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    environment = patch_processes(
        killer.request.parent, "app.stores.merges", _PATCH.format(request=str(killer.request))
    )
    options = ["--artifact", str(tiny_artifact), "--workers", "2"]
    variables = {"NEXTUP_REDIS_URL": redis_url, "NEXTUP_REDIS_TIMEOUT_MS": "20000", **environment}
    with run_service(tmp_path_factory.mktemp("data"), *options, **variables) as service:
        yield service


def read_history(service: RunningService, user: str) -> tuple[int, list[str]]:
    history = httpx.get(f"{service.url}/users/{user}/history", timeout=TIMEOUT_S).json()
    return history["history_version"], [event["item_id"] for event in history["events"]]


@pytest.mark.parametrize(("point", "remaining"), [("apply", 2), ("settle", 0), ("forget", 0), ("answer", 0)])
def test_repetition_of_a_merge_whose_process_was_killed_loses_and_doubles_nothing(
    point: str, remaining: int, running: RunningService, killer: Killer
) -> None:
    source, target = f"source-{point}", f"target-{point}"
    pairs = [(source, "i1"), (source, "i2"), (target, "i3")]
    events = [{"user_id": user, "item_id": item, "timestamp": n} for n, (user, item) in enumerate(pairs, 1)]

    def merge() -> httpx.Response:
        return httpx.post(f"{running.url}/users/{target}/merge", json={"from": source}, timeout=TIMEOUT_S)

    def is_serving() -> bool:
        return httpx.get(f"{running.url}/livez", timeout=TIMEOUT_S).status_code == 200

    wait_until(is_serving, TIMEOUT_S, "no worker serves")
    assert httpx.post(f"{running.url}/events", json={"events": events}, timeout=TIMEOUT_S).json()["stored"] == 3
    killer.kill_at(point)
    with pytest.raises(httpx.TransportError):
        merge()
    wait_until(is_serving, TIMEOUT_S, "no worker serves")  # until then the supervisor answers 503
    receipt = merge().json()
    assert receipt["stored"] == remaining, "events that this call has added"
    assert read_history(running, target) == (receipt["history_version"], ["i1", "i2", "i3"])
    assert read_history(running, source) == (0, [])
    repetition = merge().json()
    assert (repetition["stored"], repetition["history_version"]) == (0, receipt["history_version"])
