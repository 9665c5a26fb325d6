"""SIGTERM under load in every arrangement: readiness first, no request is dropped, no connection hangs, in time."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.cli.listening import bind_listener
from service_tests.support.constant_load import LONG_DEADLINE
from service_tests.support.hanging_model import HangingModel
from service_tests.support.kept_alive_clients import send_traffic
from service_tests.support.nextup_process import RunningService, run_service
from service_tests.support.service_processes import MODEL, REDIS, WORKER, find_processes, is_running
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
ARRANGEMENTS = {
    "one worker": ["--workers", "1"],
    "two workers": ["--workers", "2"],
    "dedicated model": ["--workers", "2", "--model-process", "dedicated"],
}
DRAIN_S, MARGIN_S = 4.0, 5.0
NOTICE_S = 2.0
"""Long enough for a request on a busy machine."""
CLIENTS = 16


def watch_readiness(url: str, titles: list[str]) -> threading.Thread:
    """Collect the titles of /readyz over new connections until they are refused."""

    def watch() -> None:
        while True:
            try:
                titles.append(httpx.get(f"{url}/readyz", timeout=60).json().get("title", "ready"))
            except httpx.ConnectError:
                return
            except httpx.TransportError as error:
                titles.append(repr(error))
            time.sleep(0.05)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def terminate(service: RunningService) -> float:
    """Send SIGTERM and return the seconds until the service has ended."""
    started_at = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    while service.process.poll() is None:
        assert time.monotonic() - started_at < 60, "the service ignores SIGTERM"
        time.sleep(0.01)
    return time.monotonic() - started_at


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_sigterm_under_load_drops_no_request(arrangement: str, tiny_artifact: Path, tmp_path: Path) -> None:
    options = ["--artifact", str(tiny_artifact), *ARRANGEMENTS[arrangement]]
    titles: list[str] = []
    variables = {"NEXTUP_DRAIN_S": str(DRAIN_S), "NEXTUP_DRAIN_NOTICE_S": str(NOTICE_S), **LONG_DEADLINE}
    with run_service(tmp_path, *options, **variables) as service:
        children = [pid for word in (WORKER, MODEL) for pid in find_processes(service, word)]
        with send_traffic(service.url, CLIENTS) as traffic:
            wait_until(lambda: traffic.statuses[200] > 20 * CLIENTS, 60, "requests are answered")
            watcher = watch_readiness(service.url, titles)
            wait_until(lambda: titles, 60, "readiness is observed")
            seconds = terminate(service)
            watcher.join(60)
        assert not watcher.is_alive(), "a new connection hangs"
        assert service.process.returncode == 0
    assert traffic.dropped == []
    assert set(traffic.statuses) == {200}, traffic
    assert traffic.refused, "the service still listens"
    assert "Draining" in titles, "readiness does not say that the service drains"
    assert set(titles) <= {"ready", "Draining"}, titles
    assert seconds < DRAIN_S + MARGIN_S
    assert not any(map(is_running, children))


def test_sigterm_ends_a_service_whose_model_hangs(tiny_artifact: Path, tmp_path: Path) -> None:
    model = HangingModel(tmp_path)
    options = ["--artifact", str(tiny_artifact), "--workers", "2"]
    with run_service(tmp_path, *options, NEXTUP_DRAIN_S="2", **model.environment) as service:
        for holds_gil in (False, True):  # one worker each
            model.hang(holding_gil=holds_gil)
            while not model.has_begun:
                with suppress(httpx.TransportError):
                    httpx.post(f"{service.url}/recommend", json={"history": ["i1"]}, timeout=0.5)
        assert terminate(service) < 2.0 + MARGIN_S


def test_killed_supervisor_leaves_neither_processes_nor_the_port(tiny_artifact: Path, tmp_path: Path) -> None:
    options = ["--artifact", str(tiny_artifact), "--workers", "2", "--model-process", "dedicated"]
    with run_service(tmp_path, *options, NEXTUP_DRAIN_S="2") as service:
        children = [pid for word in (WORKER, MODEL, REDIS) for pid in find_processes(service, word)]
        assert len(children) == 4
        with httpx.Client(base_url=service.url, timeout=60) as http:
            events = {"events": [{"user_id": "ada", "item_id": "i1"}]}
            assert http.post("/events", json=events).status_code == 202
            os.kill(service.process.pid, signal.SIGKILL)
            service.process.wait()
            bind_listener("127.0.0.1", httpx.URL(service.url).port or 0).close()
            wait_until(lambda: not any(map(is_running, children)), 2.0 + MARGIN_S, "processes outlive the supervisor")
    with run_service(tmp_path, "--artifact", str(tiny_artifact)) as service:
        history = httpx.get(f"{service.url}/users/ada/history", timeout=60).json()
        assert history["history_version"] == 1, "the acknowledged event is stored"
