"""Trouble caused for real, and the alert that a real Prometheus raises for it, with times a sixtieth as long.

One service for all of them, and every trouble ends: that the alerts end too is half of what is tested.
"""

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.bench.load.profile import LoadProfile
from app.bench.serve.rounds import run_generator
from app.monitoring.files import rules
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.nextup_process import RunningService, run_service
from service_tests.support.prometheus_server import Prometheus, needs_prometheus, run_prometheus, wait_until

pytestmark = [needs_prometheus, pytest.mark.slow]
SCALE = 1 / 60
LONGEST_S = 30.0
LOAD_S = 5.0


@dataclass
class Watched:
    served: RunningService
    prometheus: Prometheus
    redis: EmbeddedRedis

    def wait_until(self, *alerts: str) -> None:
        """Until these alerts fire, and no others."""
        firing = self.prometheus.alerts
        wait_until(lambda: firing() == set(alerts), LONGEST_S, lambda: f"{firing()} fire, not {alerts}")


@pytest.fixture(scope="module")
def watched_service(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    redis = EmbeddedRedis.start(folder / "store")
    small = {"NEXTUP_QUEUE_LIMIT": "1", "NEXTUP_MAX_BATCH": "1", "NEXTUP_REDIS_URL": redis.url}
    with ExitStack() as running:
        served = running.enter_context(run_service(folder / "data", "--artifact", str(tiny_artifact), **small))
        prometheus = running.enter_context(run_prometheus(served.url, rules(SCALE), folder))
        found = Watched(served, prometheus, redis)
        yield found
    found.redis.stop()


@pytest.fixture
def watched(watched_service: Watched) -> Watched:
    """While nothing fires."""
    watched_service.wait_until()
    return watched_service


def test_redis_stops_and_comes_back(watched: Watched) -> None:
    folder = watched.redis.folder.parent
    watched.redis.stop()
    try:
        watched.wait_until("NextupStoreDown")
    finally:
        watched.redis = EmbeddedRedis.start(folder)
    watched.wait_until()


def test_the_service_stands_still_and_goes_on(watched: Watched) -> None:
    watched.served.process.send_signal(signal.SIGSTOP)
    try:
        watched.wait_until("NextupAbsent")
    finally:
        watched.served.process.send_signal(signal.SIGCONT)
    watched.wait_until()


def test_more_comes_than_the_model_can_do(watched: Watched) -> None:
    firing = watched.prometheus.alerts
    with ThreadPoolExecutor(1) as beside:
        load = beside.submit(run_generator, _crowd(watched.served.url))
        wait_until(lambda: "NextupShedding" in firing(), LONGEST_S, lambda: f"{firing()} fire")
    assert load.result().served_by["popularity"] > 0, "who was refused got popular items"
    wait_until(lambda: "NextupShedding" not in firing(), LONGEST_S, lambda: f"{firing()} fire")


def _crowd(url: str) -> LoadProfile:
    """Many who ask at once, again as soon as they have their answer."""
    address = httpx.URL(url)
    assert address.port is not None
    ask = json.dumps({"history": ["i7", "i8"], "k": 3})
    return LoadProfile(
        address.host, address.port, "/recommend", (ask,), 32, warm_up_s=0.0, seconds=LOAD_S, timeout_s=5.0
    )
