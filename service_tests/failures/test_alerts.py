"""Real faults, and the alerts that a real Prometheus fires for them, with all times divided by 60.

All tests share one service, and every fault ends: each test also checks that the alerts resolve.
"""

import json
import os
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
from app.monitoring.files import render_rules
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.nextup_process import RunningService, run_service
from service_tests.support.prometheus_server import Prometheus, needs_prometheus, run_prometheus
from service_tests.support.service_processes import WORKER, find_processes
from service_tests.support.waiting import wait_until

pytestmark = [needs_prometheus, pytest.mark.process, pytest.mark.slow]
SCALE = 1 / 60
TIMEOUT_S = 60.0
LOAD_S = 5.0


@dataclass
class MonitoredService:
    """A running service with its Redis and its Prometheus."""

    service: RunningService
    prometheus: Prometheus
    redis: EmbeddedRedis

    def wait_for_alerts(self, *alerts: str) -> None:
        """Wait until exactly these alerts fire."""
        find = self.prometheus.find_alerts
        wait_until(lambda: find() == set(alerts), TIMEOUT_S, lambda: f"{find()} fire, not {alerts}")


@pytest.fixture(scope="module")
def running_service(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitoredService]:
    folder = tmp_path_factory.mktemp("monitored")
    redis = EmbeddedRedis.start(folder / "store")
    variables = {"NEXTUP_QUEUE_LIMIT": "1", "NEXTUP_MAX_BATCH": "1", "NEXTUP_REDIS_URL": redis.url}
    with ExitStack() as stack:
        service = stack.enter_context(run_service(folder / "data", "--artifact", str(tiny_artifact), **variables))
        prometheus = stack.enter_context(run_prometheus(service.url, render_rules(SCALE), folder))
        monitored = MonitoredService(service, prometheus, redis)
        yield monitored
    monitored.redis.stop()


@pytest.fixture
def monitored(running_service: MonitoredService) -> MonitoredService:
    """The service while no alert fires."""
    running_service.wait_for_alerts()
    return running_service


def test_store_down_fires_while_redis_is_stopped(monitored: MonitoredService) -> None:
    folder = monitored.redis.folder.parent
    monitored.redis.stop()
    try:
        monitored.wait_for_alerts("NextupStoreDown")
    finally:
        monitored.redis = EmbeddedRedis.start(folder)
    monitored.wait_for_alerts()


def test_absent_fires_while_the_service_is_suspended(monitored: MonitoredService) -> None:
    # The supervisor first: it would replace a worker that is suspended.
    pids = [monitored.service.process.pid, *find_processes(monitored.service, WORKER)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        monitored.wait_for_alerts("NextupAbsent")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    monitored.wait_for_alerts()


def test_shedding_fires_under_overload(monitored: MonitoredService) -> None:
    find = monitored.prometheus.find_alerts
    with ThreadPoolExecutor(1) as executor:
        load = executor.submit(run_generator, make_overload(monitored.service.url))
        wait_until(lambda: "NextupShedding" in find(), TIMEOUT_S, lambda: f"{find()} fire")
    assert load.result().served_by["popularity"] > 0, "shed queries are served popular items"
    wait_until(lambda: "NextupShedding" not in find(), TIMEOUT_S, lambda: f"{find()} fire")


def make_overload(url: str) -> LoadProfile:
    """Closed-loop load of 32 connections."""
    address = httpx.URL(url)
    assert address.port is not None
    body = json.dumps({"history": ["i7", "i8"], "k": 3})
    return LoadProfile(
        address.host, address.port, "/recommend", (body,), 32, warm_up_s=0.0, seconds=LOAD_S, timeout_s=5.0
    )
